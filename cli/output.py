"""Error messages on stderr: refusals and connection errors as one readable line.

Text from outside is escaped, so that a terminal does not interpret it.
"""

import os
from http import HTTPStatus
from typing import Any

import aiohttp
from pydantic_core import from_json

from sse_push.cli.standard_streams import write_stderr
from sse_push.service.visible import visible

MAX_PROBLEM_BYTES = 64 * 1024  # bytes of a refusal that are read; a problem document has a few hundred


def print_error(text: str) -> None:
    """Print *text* on stderr, as one line."""
    write_stderr(visible(text))


def fail(why: str) -> int:
    """Print why the command failed, and return its exit status."""
    print_error(why)
    return 1


async def describe_refusal(response: aiohttp.ClientResponse) -> str:
    """The status of *response* and what its problem document says."""
    return (await read_refusal(response))[0]


async def read_refusal(response: aiohttp.ClientResponse) -> tuple[str, str | None]:
    """What :func:`describe_refusal` gives, and the document's ``outcome`` if it has one."""
    status = f"{response.status} {response.reason or _phrase(response.status)}"
    try:
        body = await response.content.read(MAX_PROBLEM_BYTES)
    except (aiohttp.ClientError, TimeoutError):
        body = b""
    hint = ["--token, --user and --help print_error who asks"] if response.status == 401 else []
    problem = _parsed(body)
    return "; ".join([": ".join([status, *_details(problem)]), *hint]), problem.get("outcome")


def describe_error(error: Exception) -> str:
    """A connection error as text for people."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        why = getattr(cause, "verify_message", "") or str(cause)
        return f"{error.host}:{error.port} has a certificate that is not trusted: {why}; SSL_CERT_FILE names certificates to trust"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"can't reach {error.host}:{error.port}: {_reason(error.os_error)}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _reason(cause: OSError) -> str:
    # A failed name lookup has a negative number that the system does not know; its text is good.
    if cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno)
    return cause.strerror or str(cause)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        document = from_json(body)
    except ValueError:  # a proxy's page, print_error
        return {}
    return document if isinstance(document, dict) else {}


def _details(problem: dict[str, Any]) -> list[str]:
    """The parts of a problem document that people want to read (RFC 9457, and our own fields)."""
    details = [str(problem["detail"])] if problem.get("detail") else []
    errors = problem.get("errors")
    if isinstance(errors, list) and len(errors) > 1:
        details.append("; ".join(str(error.get("detail")) for error in errors if isinstance(error, dict)))
    if problem.get("request_id"):
        details[-1:] = [f"{details[-1] if details else ''} (request {problem['request_id']})".strip()]
    return details


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
