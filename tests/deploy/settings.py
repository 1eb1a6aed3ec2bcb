"""What the files of deploy/ set, held against the settings that the service has."""

import re
from pathlib import Path

from sse_push.service.settings import PREFIX, Settings
from tests.process import ROOT

DEPLOY = ROOT / "deploy"
# A drain takes SHUTDOWN_TIMEOUT_S; then come the last answers, requests left over (some 2 s each), and what is to be kept.
AFTER_A_DRAIN_S = 5


def named_in(path: Path) -> set[str]:
    """The settings that a file names."""
    return set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", path.read_text()))


def settings_of(environment: dict[str, str], monkeypatch) -> Settings:  # type: ignore[no-untyped-def]
    """The settings of a service in *environment*; what it can't be is an error."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings()
