"""``sse-push token``: mints a token for development."""

import argparse
import sys
from typing import Any

from sse_push.cli import target
from sse_push.cli.output import fail
from sse_push.service.identity import Role
from sse_push.service.settings import load_settings
from sse_push.service.tokens import mint_token


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "token",
        help="mint a token for development",
        description="Prints a JWT signed with SSE_PUSH_JWT_SECRET, or with --demo a demo token.",
    )
    parser.add_argument("user", type=target.user_id, help="the user id")
    parser.add_argument("--role", action="append", choices=list(Role), help="repeatable; default user")
    parser.add_argument("--name", default="", help="the user's name")
    parser.add_argument("--email", default="", help="the user's e-mail address")
    parser.add_argument("--room", action="append", help="a room the user may enter; repeatable")
    parser.add_argument("--expires", type=float, default=3600, metavar="SECONDS", help="default 3600")
    parser.add_argument("--demo", action="store_true", help="a demo token, for AUTH_MODE=demo")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    roles = tuple(arguments.role or [Role.USER])
    if arguments.demo:
        return _demo(arguments, roles)
    settings = load_settings()
    if not settings.jwt_secrets:
        print("sse-push: set SSE_PUSH_JWT_SECRET, or use --demo", file=sys.stderr)
        return 2
    claims = {"sub": arguments.user, "roles": list(roles), "name": arguments.name, "email": arguments.email, "rooms": arguments.room}  # fmt: skip
    given = {name: value for name, value in claims.items() if value}
    print(mint_token(settings, given, arguments.expires))
    return 0


def _demo(arguments: argparse.Namespace, roles: tuple[Role, ...]) -> int:
    try:
        print(target.demo_token_for(arguments.user, roles, arguments.name, arguments.email))
    except target.NoTarget as error:
        return fail(str(error))
    return 0
