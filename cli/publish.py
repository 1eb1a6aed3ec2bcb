"""``sse-push publish``: publishes an event from the shell, or many from stdin."""

import argparse
import asyncio
import sys
from typing import Any
from uuid import uuid4

import aiohttp
from pydantic_core import from_json, to_json

from sse_push.cli import target
from sse_push.cli.ndjson import publish_lines
from sse_push.cli.output import describe_error, fail, read_refusal
from sse_push.service.identity import Role

PUBLISHER = "sse-push-cli"  # user of the token that is made
TIMEOUT_S = 30.0  # seconds for the answer to one event
RETRY_DELAYS_S = (0.5, 2.0, 5.0, 0.0)  # seconds after each attempt whose outcome is unknown

_EPILOG = """examples:
  sse-push publish --user 42 '{"message":"hi"}'
  sse-push publish --users 42,43 --topic notifications --ttl 60 '{"title":"Backup","message":"done"}'
  date | sse-push publish --room general --text -
  sse-push publish --ndjson < events.ndjson      one event per line, as POST /v1/events takes it

Prints the event's id. With --ndjson, prints one answer per line, {"id"} or {"error"}, once each event is stored."""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "publish",
        help="publish an event",
        description="Publishes an event, or with --ndjson every line of stdin.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", metavar="DATA", nargs="?", help="JSON; - reads it from stdin")
    audience = parser.add_mutually_exclusive_group()
    audience.add_argument("--user", metavar="ID", help="for one user")
    audience.add_argument("--users", metavar="ID,ID", help="for these users")
    audience.add_argument("--room", help="for a chat room")
    audience.add_argument("--broadcast", action="store_true", help="for everybody")
    parser.add_argument("--text", action="store_true", help="DATA is text, not JSON")
    parser.add_argument("--topic", help="topic; default app")
    parser.add_argument("--event", metavar="NAME", help="the event's name")
    parser.add_argument("--ttl", metavar="SECONDS", type=float, help="how long the event can be replayed")
    parser.add_argument("--key", help="idempotency key: the event is published at most once")
    parser.add_argument("--ndjson", action="store_true", help="read events from stdin, one per line")
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
        return fail(str(error))


def _check(arguments: argparse.Namespace) -> None:
    """Exit with a usage error (status 2) if the options do not describe an event."""
    audience = (arguments.user, arguments.users, arguments.room)
    named = any(value is not None for value in audience) or arguments.broadcast
    of_one = (arguments.data, arguments.topic, arguments.event, arguments.ttl, arguments.key)
    if arguments.ndjson:
        if named or arguments.text or any(value is not None for value in of_one):
            arguments.refuse("--ndjson reads complete events from stdin; remove the other event options")
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
    """All of stdin, without the newline that ``echo`` and editors append."""
    return sys.stdin.read().removesuffix("\n")


async def _publish(url: str, headers: dict[str, str], event: dict[str, Any]) -> int:
    """Publish *event* and print its id. Returns the exit status.

    While the outcome is unknown it retries, with an idempotency key that the event has from the first attempt.
    """
    key = event.setdefault("key", str(uuid4()))
    headers = headers | {"Content-Type": "application/json"}
    maybe_published = False
    for wait in RETRY_DELAYS_S:
        try:
            return _printed(await _post(url, headers, to_json(event)))
        except (aiohttp.ClientConnectorError, _Refused) as error:
            why = str(error) if isinstance(error, _Refused) else describe_error(error)
            if not maybe_published:  # otherwise an earlier attempt may have succeeded
                return fail(why)
        except (_MaybePublished, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            why = str(error) if isinstance(error, _MaybePublished) else describe_error(error)
            maybe_published = True
        await asyncio.sleep(wait)
    return fail(f"{why}; an earlier attempt may have published it; --key {key} makes a retry safe")


def _printed(id_: str) -> int:
    print(id_)
    return 0


class _Refused(Exception):
    """The event was not published."""


class _MaybePublished(Exception):
    """The event may have been published."""


async def _post(url: str, headers: dict[str, str], body: bytes) -> str:
    """Send one request; returns the event's id.

    Raises:
        _Refused, _MaybePublished: No id came back; the text says why.
    """
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, data=body, headers=headers) as response,
    ):
        if response.status == 200:
            return str((await response.json())["id"])
        why, outcome = await read_refusal(response)
        is_known = response.status < 500 or outcome == "not_published"
        raise _Refused(why) if is_known else _MaybePublished(why)
