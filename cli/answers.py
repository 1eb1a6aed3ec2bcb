"""What a command tells its user beside its results: a service's refusal as one readable text, on stderr.

Text of others is made safe to show in a terminal.
"""

import os
from http import HTTPStatus
from typing import Any

import aiohttp
from pydantic_core import from_json

from sse_push.cli.standard_streams import tell
from sse_push.service.visible import visible

MAX_PROBLEM_BYTES = 64 * 1024  # bytes read of a refusal; a problem document has some hundred


def say(text: str) -> None:
    """Tell *text*, in one line, on stderr."""
    tell(visible(text))


def failed(why: str) -> int:
    """Tell why a command failed; its exit status."""
    say(why)
    return 1


async def refusal(response: aiohttp.ClientResponse) -> str:
    """Why *response* is not what was asked for: its status, and what its problem document says."""
    return (await refusal_and_outcome(response))[0]


async def refusal_and_outcome(response: aiohttp.ClientResponse) -> tuple[str, str | None]:
    """The same, and what became of what was to be published, where the document says so."""
    status = f"{response.status} {response.reason or _phrase(response.status)}"
    try:
        body = await response.content.read(MAX_PROBLEM_BYTES)
    except (aiohttp.ClientError, TimeoutError):
        body = b""
    hint = ["--token, --user and --help say who asks"] if response.status == 401 else []
    problem = _parsed(body)
    return "; ".join([": ".join([status, *_details(problem)]), *hint]), problem.get("outcome")


def trouble(error: Exception) -> str:
    """What went wrong with a connection, in words."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        why = getattr(cause, "verify_message", "") or str(cause)
        return f"{error.host}:{error.port} can't be trusted: {why}; SSL_CERT_FILE names certificates to trust"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"can't reach {error.host}:{error.port}: {_reason(error.os_error)}"
    if isinstance(error, TimeoutError):
        return "nothing was heard in time"
    return str(error) or type(error).__name__


def _reason(cause: OSError) -> str:
    # The number of a look-up that failed is negative, and no system's; its text is good.
    if cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno)
    return cause.strerror or str(cause)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        document = from_json(body)
    except ValueError:  # a proxy's page, say
        return {}
    return document if isinstance(document, dict) else {}


def _details(problem: dict[str, Any]) -> list[str]:
    """The parts of a problem document that a person wants to read (RFC 9457 and this service's own)."""
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
