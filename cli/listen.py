"""``sse-push listen``: shows a stream in the terminal, one event per line, and resumes it after a break."""

import argparse
import asyncio
import contextlib
from typing import Any

import aiohttp
from pydantic_core import from_json, to_json

from sse_push.cli import target
from sse_push.cli.event_stream import Message
from sse_push.cli.follow import Follower, Refused
from sse_push.cli.output import fail, print_error
from sse_push.service.identity import Role
from sse_push.service.visible import visible

_EPILOG = """examples:
  sse-push listen --user 42 /v1/app/sse
  sse-push listen --user 42 '/v1/stream?topics=app,chat:general'
  sse-push listen --user 42 --json --count 1 /notifications/stream

A line has the event's id (or -), its name and its data, separated by tabs; control characters are
escaped. --json is exact. Messages about the connection go to stderr."""


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "listen",
        help="show a stream in the terminal",
        description="Shows a stream in the terminal, one event per line. Reconnects and resumes without a loss.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="PATH", type=_path, help="the stream, such as /v1/app/sse")
    target.add_options(parser)
    parser.add_argument(
        "--user",
        metavar="ID",
        type=target.user_id,
        help="user of the token to make; without it no token is made",
    )
    parser.add_argument(
        "--role",
        action="append",
        choices=list(Role),
        help="of a token that is made; again for more; default user",
    )
    parser.add_argument(
        "--last-event-id", metavar="ID", type=_event_id, default="", help="go on after this event"
    )
    parser.add_argument("--count", metavar="N", type=_count, help="stop after N events")
    parser.add_argument("--json", action="store_true", help="an event a line as JSON: id, event, data")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    try:
        return asyncio.run(_listen(arguments))
    except (Refused, target.NoTarget) as error:
        return fail(str(error))


async def _listen(arguments: argparse.Namespace) -> int:
    url = target.url_of(arguments)

    def headers() -> dict[str, str]:
        return target.headers_of(_token(arguments, url))

    write = _write_json if arguments.json else _write_line
    async with aiohttp.ClientSession() as session:
        follower = Follower(
            session,
            url + arguments.path,
            headers=headers,
            report=print_error,
            last_event_id=arguments.last_event_id,
        )
        left = arguments.count
        async with contextlib.aclosing(follower.messages()) as messages:
            async for message in messages:
                if _is_of_the_service(message):
                    continue
                write(message)
                if left is not None and (left := left - 1) == 0:
                    return 0
    return 0  # never reached: the stream does not end by itself


def _token(arguments: argparse.Namespace, url: str) -> str | None:
    if arguments.user is None:
        return target.given_token(arguments)
    return target.token_of(arguments, url, arguments.user, arguments.role or [Role.USER])


def _is_of_the_service(message: Message) -> bool:
    """Report a frame about the stream itself; ``False`` for any other event."""
    if message.event == "sse.gap":
        print_error(_gap(message))
    elif message.event == "sse.expired":
        print_error("the token has expired; the stream ends (sse.expired)")
    else:
        return False
    return True


def _gap(message: Message) -> str:
    try:
        gap = from_json(message.data)
        requested, reason, resumed = gap["requested"], gap["reason"], gap["resumed_from"]
    except (ValueError, KeyError, TypeError):
        return f"some events are missing here (sse.gap): {message.data}"
    why = (
        "are no longer kept" if reason == "expired" else "can't be found, for this service never gave that id"
    )
    onward = f"from {resumed}" if resumed else "with what comes now"
    return f"events after {requested} {why} (sse.gap); goes on {onward}"


def _write_line(message: Message) -> None:
    print(visible(message.id) or "-", visible(message.event), visible(message.data), sep="\t", flush=True)


def _write_json(message: Message) -> None:
    line = to_json({"id": message.id or None, "event": message.event, "data": message.data})
    print(line.decode(), flush=True)


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError("a path begins with /")
    return text


def _event_id(text: str) -> str:
    if not text.isprintable():
        raise argparse.ArgumentTypeError("an id has no control characters")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)
