"""Reading JSON bodies into models, and answering with JSON."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from events.errors import BadRequest, SsePushError
from handlers.errors import InvalidBody, faults, is_no_json
from handlers.keys import NODE
from service.byte_budget import ByteBudget
from service.identity import Caller
from service.node import Node

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


async def read_model(request: web.Request, model: type[Model]) -> tuple[Model, bytes]:
    """The request's body as *model*, and as it came.

    Raises:
        BadRequest: It is no JSON.
        InvalidBody: It is not of the model's form.
    """
    body = await read_body(request)
    try:
        return model.model_validate_json(body), body
    except ValidationError as error:
        raise refused(error) from None


def refused(error: ValidationError, *, of_list: bool = False) -> SsePushError:
    """The error to raise for a body that did not validate."""
    if is_no_json(error):
        return BadRequest("the body is not JSON")
    return InvalidBody(faults(error, of_list=of_list))


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
