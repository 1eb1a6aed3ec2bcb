"""``POST /api/auth/login/json``, and ``/api/users``, where administrators manage users."""

from typing import Annotated

import structlog
from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from sse_push.events.errors import BadRequest, NotFound, Unauthenticated
from sse_push.handlers.auth import caller_of
from sse_push.handlers.bodies import count_command, json_response, read_model
from sse_push.handlers.client_address import address_of
from sse_push.handlers.errors import faults
from sse_push.handlers.keys import NODE, REQUEST_ID
from sse_push.service.addresses import network_of
from sse_push.service.people import (
    MAX_LISTED_USERS,
    MAX_USER_ID,
    UNKNOWN_USER,
    LoggedIn,
    Login,
    NewUser,
    User,
    UserChange,
    plain_email,
    user_number,
)

_log = structlog.get_logger()


class UserParams(BaseModel):
    user_id: int = Field(alias="userId", description="The user's number.", examples=[2])


class UsersParams(BaseModel):
    after: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_USER_ID,
            description="Begin behind this one: the last of the page before.",
            examples=[100],
        ),
    ] = 0
    limit: Annotated[
        int, Field(ge=1, le=MAX_LISTED_USERS, description="As many at the most.", examples=[100])
    ] = 100


def routes() -> list[web.RouteDef]:
    return [
        web.post("/api/auth/login/json", log_in),
        web.post("/api/users", add_user),
        web.get("/api/users", list_users),
        web.patch("/api/users/{userId}", change_user),
        web.delete("/api/users/{userId}", remove_user),
    ]


async def log_in(request: web.Request) -> web.Response:
    node = request.app[NODE]
    if not node.tokens.can_issue:
        raise NotFound(
            "this service signs no tokens, it verifies its issuer's (SSE_PUSH_JWKS_URL): log in there"
        )
    network = network_of(address_of(request), node.settings.ipv6_prefix)
    node.login_limits.take_address(network)
    login, _ = await read_model(request, Login)
    account = plain_email(login.email)
    node.login_limits.take(account, network)
    try:
        user, generation = await _verified(request, login)
    except Unauthenticated:
        raise
    except BaseException:
        node.login_limits.give_back(account, network)
        raise
    node.login_limits.succeeded(account, network)
    claims = {"sub": str(user.id), "roles": [user.role], "name": user.name, "email": user.email}
    lifetime = node.settings.token_ttl_s
    return json_response(
        LoggedIn(access_token=node.tokens.issue(claims, lifetime, generation), expires_in=lifetime)
    )


async def _verified(request: web.Request, login: Login) -> tuple[User, int]:
    told = {"address": address_of(request), "request_id": request[REQUEST_ID]}
    try:
        user, generation = await request.app[NODE].accounts.log_in(
            login.email, login.password.get_secret_value()
        )
    except Unauthenticated:
        _log.info("login.refused", **told)  # no address of theirs: many type their password in its place
        raise
    _log.info("login.accepted", user=str(user.id), **told)
    return user, generation


async def add_user(request: web.Request) -> web.Response:
    await _admin(request)
    new, _ = await read_model(request, NewUser)
    return json_response(await request.app[NODE].accounts.add(new), status=201)


async def list_users(request: web.Request) -> web.Response:
    await _admin(request)
    try:
        asked = UsersParams.model_validate(dict(request.query))
    except ValidationError as error:
        raise BadRequest("; ".join(detail for _, detail in faults(error))) from None
    users = await request.app[NODE].accounts.list(asked.after, asked.limit)
    return json_response(users)


async def change_user(request: web.Request) -> web.Response:
    await _admin(request)
    change, _ = await read_model(request, UserChange)
    node, number = request.app[NODE], number_in_path(request)
    user = await node.accounts.change(number, change)
    await node.account_checks.changed(number)
    if change.active is not None:
        node.presence.check_friend_lists((await node.friend_lists.of([number]))[number])
    return json_response(user)


async def remove_user(request: web.Request) -> web.Response:
    await _admin(request)
    node, number = request.app[NODE], number_in_path(request)
    friend_list = (await node.friend_lists.of([number]))[number]
    await node.accounts.remove(number)
    await node.account_checks.changed(number)
    node.presence.check_friend_lists(friend_list)
    return web.Response(status=204)


def number_in_path(request: web.Request) -> int:
    """The user that the path names.

    Raises:
        NotFound: It can be none's.
    """
    number = user_number(request.match_info["userId"])
    if number is None:
        raise NotFound(UNKNOWN_USER)
    return number


async def _admin(request: web.Request) -> None:
    caller = await caller_of(request)
    caller.require_admin()
    count_command(request, caller)
    await request.app[NODE].account_checks.check(caller, fresh=True)
