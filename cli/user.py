"""``sse-push user``: manages accounts in the database of the settings, with or without running nodes."""

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

from sse_push.cli.output import fail
from sse_push.events.errors import SsePushError
from sse_push.service.database import Database
from sse_push.service.identity import Role
from sse_push.service.passwords import Passwords
from sse_push.service.people import MAX_LISTED_USERS, NewUser, User, UserChange, user_number
from sse_push.service.settings import Settings, load_settings

Action = Callable[["AccountsContext", argparse.Namespace], Awaitable[None]]


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "user",
        help="manage accounts",
        description="Manages accounts in the database of SSE_PUSH_DATABASE_URL (or SSE_PUSH_DATA_DIR). Users are "
        "printed as JSON, one per line.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    add = _action(actions, "add", _add, "add a user and print it")
    add.add_argument("--email", required=True)
    add.add_argument("--name", required=True)
    add.add_argument("--role", choices=list(Role), default=Role.USER)
    _take_password(add)
    befriend = _action(actions, "befriend", _befriend, "make two users friends, as if both had asked")
    befriend.add_argument("user", type=_number)
    befriend.add_argument("other", type=_number)
    _action(actions, "list", _list, "print all users")
    change = _action(actions, "change", _change, "change a user's name or role and print the user")
    change.add_argument("user", type=_number)
    change.add_argument("--name")
    change.add_argument("--role", choices=list(Role))
    password = _action(actions, "password", _set_password, "change a user's password")
    password.add_argument("user", type=_number)
    _take_password(password)
    for name, text in (("disable", "forbid a user to log in"), ("enable", "allow a user to log in again"), ("remove", "remove a user and their friendships")):  # fmt: skip
        _action(actions, name, _SWITCHES[name], text).add_argument("user", type=_number)


def _action(actions: Any, name: str, action: Action, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text.capitalize() + ".")
    parser.set_defaults(run=run, action=action)
    return parser


def _take_password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password",
        help="default: asked for, or the first line of stdin, where other users can't see it",
    )


def _number(text: str) -> int:
    number = user_number(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a user number")
    return number


def run(arguments: argparse.Namespace) -> int:
    # The command reports errors itself, and stdout is for users only: no log lines.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    # No tokens are verified here, so no secret is needed.
    settings = load_settings(auth_mode="demo", allow_public_demo=True)
    try:
        asyncio.run(_act(settings, arguments))
    except SsePushError as error:
        return fail(str(error))
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        return fail(
            "; ".join(f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}" for fault in faults)
        )
    return 0


async def _act(settings: Settings, arguments: argparse.Namespace) -> None:
    accounts_context = AccountsContext(settings)
    try:
        await arguments.action(accounts_context, arguments)
    finally:
        await accounts_context.close()


class AccountsContext:
    """Accounts and friends, without a node."""

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


async def _add(accounts_context: AccountsContext, arguments: argparse.Namespace) -> None:
    given = {"email": arguments.email, "name": arguments.name, "role": arguments.role}
    _show(await accounts_context.accounts.add(NewUser(password=_password(arguments), **given)))


async def _befriend(accounts_context: AccountsContext, arguments: argparse.Namespace) -> None:
    await accounts_context.friends.ask(arguments.other, arguments.user)
    friend, _ = await accounts_context.friends.ask(arguments.user, arguments.other)
    _show(friend)


async def _list(accounts_context: AccountsContext, arguments: argparse.Namespace) -> None:
    users: list[User] = []
    while users := list(await accounts_context.accounts.list(users[-1].id if users else 0, MAX_LISTED_USERS)):
        for user in users:
            _show(user)


async def _change(accounts_context: AccountsContext, arguments: argparse.Namespace) -> None:
    _show(
        await accounts_context.accounts.change(
            arguments.user, UserChange(name=arguments.name, role=arguments.role)
        )
    )


async def _set_password(accounts_context: AccountsContext, arguments: argparse.Namespace) -> None:
    _show(await accounts_context.accounts.change(arguments.user, UserChange(password=_password(arguments))))


async def _disable(accounts_context: AccountsContext, arguments: argparse.Namespace) -> None:
    _show(await accounts_context.accounts.change(arguments.user, UserChange(active=False)))


async def _enable(accounts_context: AccountsContext, arguments: argparse.Namespace) -> None:
    _show(await accounts_context.accounts.change(arguments.user, UserChange(active=True)))


async def _remove(accounts_context: AccountsContext, arguments: argparse.Namespace) -> None:
    await accounts_context.accounts.remove(arguments.user)


_SWITCHES = {"disable": _disable, "enable": _enable, "remove": _remove}


def _password(arguments: argparse.Namespace) -> Any:
    if arguments.password is not None:
        return arguments.password
    if sys.stdin.isatty():
        return getpass.getpass("password: ")
    return sys.stdin.readline().rstrip("\r\n")


def _show(shown: BaseModel) -> None:
    print(to_json(shown, exclude_none=True).decode())
