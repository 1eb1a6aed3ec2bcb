"""Which version of the service this is, as it was installed. Knows nothing of what it does."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def installed_version() -> str:
    try:
        return version("sse-push")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "0+unknown"
