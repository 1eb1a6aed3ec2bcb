"""``sse-push publish``: an event from the shell, or a stream of them from stdin."""

import argparse
import asyncio
import sys
from typing import Any
from uuid import uuid4

import aiohttp
from pydantic_core import from_json, to_json

from sse_push.cli import target
from sse_push.cli.answers import failed, refusal_and_outcome, trouble
from sse_push.cli.ndjson import publish_lines
from sse_push.service.identity import Role

PUBLISHER = "sse-push-cli"  # whom a token that is made is for
TIMEOUT_S = 30.0  # seconds for the answer to one event
TRY_AGAIN_S = (0.5, 2.0, 5.0, 0.0)  # seconds after each try of an event that may have been published or not

_EPILOG = """examples:
  sse-push publish --user 42 '{"message":"hi"}'
  sse-push publish --users 42,43 --topic notifications --ttl 60 '{"title":"Backup","message":"done"}'
  date | sse-push publish --room general --text -
  sse-push publish --ndjson < events.ndjson      each line an event, as POST /v1/events takes it

Prints the event's id; with --ndjson an answer a line, {"id"} or {"error"}, as each event is safe."""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "publish",
        help="publish an event",
        description="Publishes an event, or with --ndjson all that stdin gives.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", metavar="DATA", nargs="?", help="JSON; - reads it from stdin")
    audience = parser.add_mutually_exclusive_group()
    audience.add_argument("--user", metavar="ID", help="for one user")
    audience.add_argument("--users", metavar="ID,ID", help="for these users")
    audience.add_argument("--room", help="for a chat room")
    audience.add_argument("--broadcast", action="store_true", help="for everybody")
    parser.add_argument("--text", action="store_true", help="DATA is text and goes out as it is")
    parser.add_argument("--topic", help="where it belongs; default app")
    parser.add_argument("--event", metavar="NAME", help="the event's name")
    parser.add_argument("--ttl", metavar="SECONDS", type=float, help="how long it may be replayed")
    parser.add_argument("--key", help="publishes once, however often it is sent")
    parser.add_argument("--ndjson", action="store_true", help="read events from stdin, a line each")
    target.add_options(parser)
    parser.set_defaults(run=run, refuse=parser.error)


def run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    try:
        url = target.url_of(arguments)
        token = target.token_of(arguments, url, PUBLISHER, [Role.SERVICE])
        if arguments.ndjson:
            return asyncio.run(publish_lines(url + "/v1/events", target.headers_of(token)))
        return asyncio.run(_publish(url + "/v1/events", target.headers_of(token), _event(arguments)))
    except target.NoTarget as error:
        return failed(str(error))


def _check(arguments: argparse.Namespace) -> None:
    """Exit with a usage error (status 2) where the options don't make an event."""
    audience = (arguments.user, arguments.users, arguments.room)
    named = any(value is not None for value in audience) or arguments.broadcast
    of_one = (arguments.data, arguments.topic, arguments.event, arguments.ttl, arguments.key)
    if arguments.ndjson:
        if named or arguments.text or any(value is not None for value in of_one):
            arguments.refuse("--ndjson takes its events whole from stdin; give nothing else of an event")
    elif arguments.data is None:
        arguments.refuse("DATA is required, or --ndjson")
    elif not named:
        arguments.refuse("one of --user, --users, --room and --broadcast is required")


def _event(arguments: argparse.Namespace) -> dict[str, Any]:
    """The event that the options describe, as ``POST /v1/events`` takes it."""
    fields = {
        "userId": arguments.user,
        "userIds": None if arguments.users is None else [user.strip() for user in arguments.users.split(",")],
        "room": arguments.room,
        "broadcast": arguments.broadcast or None,
        "topic": arguments.topic,
        "event": arguments.event,
        "ttl": arguments.ttl,
        "key": arguments.key,
    }
    return {name: value for name, value in fields.items() if value is not None} | {"data": _data(arguments)}


def _data(arguments: argparse.Namespace) -> Any:
    text = _stdin() if arguments.data == "-" else arguments.data
    if arguments.text:
        return text
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        arguments.refuse(f"DATA is not JSON ({error}); --text sends it as text")


def _stdin() -> str:
    """All of stdin, without the line end that ``echo`` and editors put at its end."""
    return sys.stdin.read().removesuffix("\n")


async def _publish(url: str, headers: dict[str, str], event: dict[str, Any]) -> int:
    """Publish *event* and print its id; the command's exit status.

    Where it may have been published or not, it is tried again, by a key that the event has from the start.
    """
    key = event.setdefault("key", str(uuid4()))
    headers = headers | {"Content-Type": "application/json"}
    maybe_published = False
    for wait in TRY_AGAIN_S:
        try:
            return _printed(await _post(url, headers, to_json(event)))
        except (aiohttp.ClientConnectorError, _Refused) as error:
            why = str(error) if isinstance(error, _Refused) else trouble(error)
            if not maybe_published:  # else this says nothing of the tries before
                return failed(why)
        except (_NotKnown, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            why = str(error) if isinstance(error, _NotKnown) else trouble(error)
            maybe_published = True
        await asyncio.sleep(wait)
    return failed(f"{why}; an earlier try may have published it: --key {key} makes another one safe")


def _printed(id_: str) -> int:
    print(id_)
    return 0


class _Refused(Exception):
    """It was surely not published."""


class _NotKnown(Exception):
    """It may have been published."""


async def _post(url: str, headers: dict[str, str], body: bytes) -> str:
    """The id that the event was given.

    Raises:
        _Refused, _NotKnown: There is none; the text says why.
    """
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, data=body, headers=headers) as response,
    ):
        if response.status == 200:
            return str((await response.json())["id"])
        why, outcome = await refusal_and_outcome(response)
        is_known = response.status < 500 or outcome == "not_published"
        raise _Refused(why) if is_known else _NotKnown(why)
