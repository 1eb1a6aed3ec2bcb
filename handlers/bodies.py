"""Reading JSON bodies into models, and answering with JSON."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from sse_push.events.errors import BadRequest
from sse_push.events.faults import MAX_FAULTS
from sse_push.events.json_text import Checked, Encoded, NotJson, fields_of, object_of
from sse_push.handlers.errors import InvalidBody, faults
from sse_push.handlers.keys import NODE
from sse_push.service.byte_budget import ByteBudget
from sse_push.service.identity import Caller
from sse_push.service.node import Node

Model = TypeVar("Model", bound=BaseModel)


COMMAND_OVERHEAD_BYTES = 64 * 1024  # bytes of a command beside its event's data: a thousand user ids


@contextmanager
def reading_body(request: web.Request) -> Iterator[None]:
    """Around what reads the request's body.

    Raises:
        ConnectionError: The connection was cut as more was about to be read, which aiohttp calls a RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        if request.transport is not None:
            raise
        raise ConnectionResetError("the client is gone") from error


async def read_body(request: web.Request, max_bytes: int | None = None) -> bytes:
    """The request's body.

    Args:
        max_bytes: The most it may take; by default what a command with one event may.

    Raises:
        web.HTTPRequestEntityTooLarge: It takes more. The rest is not read.
        web.RequestPayloadError, ConnectionError: It breaks off.
    """
    limit = max_bytes or request.app[NODE].settings.max_event_bytes + COMMAND_OVERHEAD_BYTES
    if (request.content_length or 0) > limit:
        raise web.HTTPRequestEntityTooLarge(limit, request.content_length or 0)
    parts: list[bytes] = []
    size = 0
    try:
        with reading_body(request):
            async for part in request.content.iter_any():
                size += len(part)
                if size > limit:
                    raise web.HTTPRequestEntityTooLarge(limit, size)
                parts.append(part)
        return b"".join(parts)
    finally:
        # An error's traceback keeps this frame until the collector comes by: not the body with it.
        parts.clear()


async def read_model(request: web.Request, model: type[Model]) -> tuple[Model, Encoded]:
    """The request's body as *model*, and as it came but for white space.

    A field ``data`` of the model, and fields that it does not name but takes, stay JSON and are not looked into.

    Raises:
        BadRequest: It is no JSON.
        InvalidBody: It is not of the model's form.
    """
    body = await read_body(request)
    try:
        checked = Checked(body)
    except NotJson as error:
        raise BadRequest(str(error)) from None
    faults_found = [(0, detail) for detail in checked.faults_in(checked.text)]
    try:
        value = _read(checked.text, model)
    except ValidationError as error:
        raise InvalidBody([*faults_found, *faults(error)][:MAX_FAULTS]) from None
    if faults_found:
        raise InvalidBody(faults_found)
    return value, Encoded(checked.text)


def _read(text: bytes, model: type[Model]) -> Model:
    fields = fields_of(text)
    if fields is None:
        return model.model_validate_json(text)  # says what it wants
    if model.model_config.get("extra") == "allow":
        known = {field.alias or name for name, field in model.model_fields.items()}
        fields = {name: value for name, value in fields.items() if name in known}
    data = fields.get("data") if "data" in model.model_fields else None
    if data is not None:
        fields["data"] = b"null"
    value = model.model_validate_json(object_of(fields))
    return value if data is None else value.model_copy(update={"data": Encoded(data)})


def refused(error: ValidationError) -> InvalidBody:
    """The error to raise for a body that did not validate."""
    return InvalidBody(faults(error))


def json_response(value: Any, *, status: int = 200) -> web.Response:
    body = to_json(value, by_alias=True, exclude_none=True)
    return web.Response(status=status, body=body, content_type="application/json")


def count_bytes(request: web.Request, caller: Caller, data_bytes: int, events: int = 1) -> None:
    """Count *events* that *caller* is about to publish against their share of the history.

    Raises:
        OverLimit: There is no room for them now.
    """
    budget_of(request.app[NODE], caller).take(caller.require_user(), data_bytes, events)


def budget_of(node: Node, caller: Caller) -> ByteBudget:
    """What *caller*'s events are counted against."""
    return node.service_bytes if caller.is_publisher else node.user_bytes


def count_command(request: web.Request, caller: Caller) -> None:
    """Count a command of *caller* against their rate.

    Raises:
        OverLimit: It was one too many.
    """
    node = request.app[NODE]
    rate = node.service_rate if caller.is_publisher else node.user_rate
    rate.take(caller.require_user())
