"""Reading JSON bodies into models, and answering with JSON."""

from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from events.errors import BadRequest, SsePushError
from handlers.errors import InvalidBody, faults, is_no_json
from handlers.keys import NODE
from service.identity import Caller

Model = TypeVar("Model", bound=BaseModel)


async def read_model(request: web.Request, model: type[Model]) -> Model:
    """The request's body as *model*.

    Raises:
        BadRequest: It is no JSON.
        InvalidBody: It is not of the model's form.
    """
    body = await request.read()
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise refused(error) from None


def refused(error: ValidationError, *, of_list: bool = False) -> SsePushError:
    """The error to raise for a body that did not validate."""
    if is_no_json(error):
        return BadRequest("the body is not JSON")
    return InvalidBody(faults(error, of_list=of_list))


async def read_json(request: web.Request) -> Any:
    """The request's body as parsed JSON.

    Raises:
        ValueError: It is none.
    """
    return from_json(await request.read(), allow_inf_nan=False)


def json_response(value: Any, *, status: int = 200) -> web.Response:
    body = to_json(value, by_alias=True, exclude_none=True)
    return web.Response(status=status, body=body, content_type="application/json")


def count_command(request: web.Request, caller: Caller) -> None:
    """Count a command of *caller* against their rate.

    Raises:
        OverLimit: It was one too many.
    """
    node = request.app[NODE]
    rate = node.service_rate if caller.is_publisher else node.user_rate
    rate.take(caller.require_user())
