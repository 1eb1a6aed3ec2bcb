"""``sse-push user``: see to the accounts, in the database that the settings name. No node need run; some may."""

import argparse
import asyncio
import getpass
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from sse_push.cli.answers import failed
from sse_push.events.errors import SsePushError
from sse_push.service.database import Database
from sse_push.service.identity import Role
from sse_push.service.passwords import Passwords
from sse_push.service.people import MAX_LISTED_USERS, NewUser, User, UserChange, user_number
from sse_push.service.settings import Settings, load_settings

Action = Callable[["_Desk", argparse.Namespace], Awaitable[None]]


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "user",
        help="see to the accounts",
        description="Sees to the accounts in the database of SSE_PUSH_DATABASE_URL (or SSE_PUSH_DATA_DIR). Users are "
        "printed as JSON, one a line.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    add = _action(actions, "add", _add, "make a user, and print them")
    add.add_argument("--email", required=True)
    add.add_argument("--name", required=True)
    add.add_argument("--role", choices=list(Role), default=Role.USER)
    _take_password(add)
    befriend = _action(actions, "befriend", _befriend, "make two users friends, as if both had asked")
    befriend.add_argument("user", type=_number)
    befriend.add_argument("other", type=_number)
    _action(actions, "list", _list, "print all users")
    change = _action(actions, "change", _change, "give a user another name or role, and print them")
    change.add_argument("user", type=_number)
    change.add_argument("--name")
    change.add_argument("--role", choices=list(Role))
    password = _action(actions, "password", _set_password, "give a user another password")
    password.add_argument("user", type=_number)
    _take_password(password)
    for name, text in (("disable", "let a user log in no more"), ("enable", "let them log in again"), ("remove", "remove a user and their friendships")):  # fmt: skip
        _action(actions, name, _SWITCHES[name], text).add_argument("user", type=_number)


def _action(actions: Any, name: str, action: Action, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text.capitalize() + ".")
    parser.set_defaults(run=run, action=action)
    return parser


def _take_password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password",
        help="default: asked for; or the first line of standard input, where other users can't see it",
    )


def _number(text: str) -> int:
    number = user_number(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no user's number")
    return number


def run(arguments: argparse.Namespace) -> int:
    # What a node would log, this command says itself, and standard output is for users alone.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    # Who may ask is not this command's affair: it needs no secret.
    settings = load_settings(auth_mode="demo", allow_public_demo=True)
    try:
        asyncio.run(_act(settings, arguments))
    except SsePushError as error:
        return failed(str(error))
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        return failed(
            "; ".join(f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}" for fault in faults)
        )
    return 0


async def _act(settings: Settings, arguments: argparse.Namespace) -> None:
    desk = _Desk(settings)
    try:
        await arguments.action(desk, arguments)
    finally:
        await desk.close()


class _Desk:
    """Accounts and friends without a node."""

    def __init__(self, settings: Settings) -> None:
        from sse_push.service.accounts import Accounts
        from sse_push.service.friends import Friends

        self._database = Database(settings.database_url.get_secret_value(), settings.data_dir)
        self._passwords = Passwords()
        self.accounts = Accounts(self._database, self._passwords, time.time)
        self.friends = Friends(self._database)

    async def close(self) -> None:
        await self._database.close()
        self._passwords.close()


async def _add(desk: _Desk, arguments: argparse.Namespace) -> None:
    given = {"email": arguments.email, "name": arguments.name, "role": arguments.role}
    _show(await desk.accounts.add(NewUser(password=_password(arguments), **given)))


async def _befriend(desk: _Desk, arguments: argparse.Namespace) -> None:
    await desk.friends.ask(arguments.other, arguments.user)
    friend, _ = await desk.friends.ask(arguments.user, arguments.other)
    _show(friend)


async def _list(desk: _Desk, arguments: argparse.Namespace) -> None:
    users: list[User] = []
    while users := list(await desk.accounts.list(users[-1].id if users else 0, MAX_LISTED_USERS)):
        for user in users:
            _show(user)


async def _change(desk: _Desk, arguments: argparse.Namespace) -> None:
    _show(await desk.accounts.change(arguments.user, UserChange(name=arguments.name, role=arguments.role)))


async def _set_password(desk: _Desk, arguments: argparse.Namespace) -> None:
    _show(await desk.accounts.change(arguments.user, UserChange(password=_password(arguments))))


async def _disable(desk: _Desk, arguments: argparse.Namespace) -> None:
    _show(await desk.accounts.change(arguments.user, UserChange(active=False)))


async def _enable(desk: _Desk, arguments: argparse.Namespace) -> None:
    _show(await desk.accounts.change(arguments.user, UserChange(active=True)))


async def _remove(desk: _Desk, arguments: argparse.Namespace) -> None:
    await desk.accounts.remove(arguments.user)


_SWITCHES = {"disable": _disable, "enable": _enable, "remove": _remove}


def _password(arguments: argparse.Namespace) -> Any:
    if arguments.password is not None:
        return arguments.password
    if sys.stdin.isatty():
        return getpass.getpass("password: ")
    return sys.stdin.readline().rstrip("\r\n")


def _show(shown: BaseModel) -> None:
    print(to_json(shown, exclude_none=True).decode())
