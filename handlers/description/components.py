"""What many operations share: further parameters, headers, errors, and the ways to bring a token.

Errors are described by what handlers/errors.py really answers, one of each made here.
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic_core import from_json

from sse_push.events.errors import (
    BadEvent,
    BadRequest,
    Conflict,
    EngineUnavailable,
    Forbidden,
    NotFound,
    OverLimit,
    Unauthenticated,
    UnsupportedType,
)
from sse_push.events.event import MAX_KEY
from sse_push.handlers.description.forms import ID, Problem
from sse_push.handlers.description.schemas import REF, Json
from sse_push.handlers.errors import PROBLEM, problem, problem_of

_REQUEST_ID = "4bf92f3577b34da6"  # of the examples

SECURITY_SCHEMES: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A JWT; in demo mode a demo token too."},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "access_token", "description": "The same, in a cookie."},
    "query": {"type": "apiKey", "in": "query", "name": "token", "description": "The same, where no header can be set. It is never logged."},
    "signature": {"type": "apiKey", "in": "header", "name": "X-Signature", "description": "Base64 of HMAC-SHA256 over the raw body, by the signing key."},
}  # fmt: skip
_TOKEN: list[Json] = [{"bearer": []}, {"cookie": []}, {"query": []}]
SECURITY: Mapping[str, list[Json]] = {
    "none": [],
    "needed": _TOKEN,
    "optional": [{}, *_TOKEN],
    "demo or signature": [{}, {"signature": []}, *_TOKEN],
}


def _parameter(name: str, where: str, description: str, **form: Any) -> Json:
    return {"name": name, "in": where, "description": description, "schema": {"type": "string", **form}}


PARAMETERS: Mapping[str, Json] = {
    "Last-Event-ID": _parameter("Last-Event-ID", "header", "The last id that was seen: everything missed since comes first.", examples=[ID]),
    "lastEventId": _parameter("lastEventId", "query", "The same, where no header can be set; the header wins."),
    "Idempotency-Key": _parameter("Idempotency-Key", "header", "Seen in the last 10 minutes (`SSE_PUSH_IDEMPOTENCY_TTL_S`), it publishes nothing again and answers with the first id. For one event; in a list each has its own `key`.", minLength=1, maxLength=MAX_KEY),
    "If-None-Match": _parameter("If-None-Match", "header", "An `ETag` that was answered: 304 where it still holds."),
}  # fmt: skip

# One of each error, answered by what answers them all: its document and headers are the example.
ERRORS: Mapping[str, tuple[str, web.Response]] = {
    "BadRequest": ("The request makes no sense: a body that is no JSON, a parameter that can't be.", problem_of(BadRequest("the body is not JSON"), _REQUEST_ID)),
    "Unauthenticated": ("No token where one is needed, or a bad one.", problem_of(Unauthenticated("the token is not valid"), _REQUEST_ID)),
    "Forbidden": ("A good token, but not for this.", problem_of(Forbidden("this stream is another user's"), _REQUEST_ID)),
    "NotFound": ("There is no such thing.", problem_of(NotFound("Not Found"), _REQUEST_ID)),
    "Conflict": ("What is there already stands against it.", problem_of(Conflict("another user has this e-mail address"), _REQUEST_ID)),
    "TooLarge": ("The body is over `SSE_PUSH_MAX_BODY_BYTES`.", problem(413, "Request Entity Too Large", _REQUEST_ID)),
    "UnsupportedType": ("A page's command does not say that it is JSON, or a body is compressed.", problem_of(UnsupportedType("the body must be JSON and say so: Content-Type: application/json"), _REQUEST_ID)),
    "Invalid": ("The body is JSON, but not of the form wanted. Nothing was published.", problem_of(BadEvent("unknown topic", index=2), _REQUEST_ID)),
    "OverLimit": ("Over a limit: of streams, of commands, of bytes, of answers by AI members, of logins, of friends.", problem_of(OverLimit("user", 10), _REQUEST_ID)),
    "Unavailable": ("This node is going away, or can't keep events now; or the database of accounts is away, or the keys of tokens can't be fetched.", problem_of(EngineUnavailable("the store can't be written"), _REQUEST_ID)),
}  # fmt: skip
NAME_OF = {response.status: name for name, (_, response) in ERRORS.items()}
HEADERS: Mapping[str, Json] = {
    "X-Request-ID": {"description": "The request's id, as sent or new.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "What a token must be sent as.", "schema": {"type": "string"}},
    "ETag": {"description": "For `If-None-Match`.", "schema": {"type": "string"}},
}


def parameter(name: str) -> Json:
    return {"$ref": f"#/components/parameters/{name}"}


def headers_of(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def problem_response(says: str, response: web.Response) -> Json:
    """An error's description; its headers and its example are those of *response*."""
    names = [name for name in HEADERS if name in response.headers]
    content = {"schema": {"$ref": f"{REF}{Problem.__name__}"}, "example": from_json(_body(response))}
    return {"description": says, "headers": headers_of("X-Request-ID", *names), "content": {PROBLEM: content}}


def _body(response: web.Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"{}"
