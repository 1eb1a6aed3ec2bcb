"""``/api/friends``: friendships are requested, accepted, ended."""

from aiohttp import web

from sse_push.events.errors import NotFound
from sse_push.handlers.accounts import number_in_path
from sse_push.handlers.auth import caller_of
from sse_push.handlers.bodies import count_command, json_response
from sse_push.handlers.keys import NODE
from sse_push.service.people import UNKNOWN_USER, user_number


def routes() -> list[web.RouteDef]:
    return [
        web.get("/api/friends", list_friends),
        web.put("/api/friends/{userId}", ask),
        web.delete("/api/friends/{userId}", end),
    ]


async def list_friends(request: web.Request) -> web.Response:
    user = await _caller_number(request)
    return json_response(await request.app[NODE].friends.list(user))


async def ask(request: web.Request) -> web.Response:
    user = await _caller_number(request)
    node = request.app[NODE]
    friend, began = await node.friends.ask(user, number_in_path(request))
    if began:
        node.presence.announce_friendship(user, friend.user_id)
    return json_response(friend)


async def end(request: web.Request) -> web.Response:
    user = await _caller_number(request)
    node, other = request.app[NODE], number_in_path(request)
    if await node.friends.end(user, other):
        node.presence.check_friend_lists((user, other))
    return web.Response(status=204)


async def _caller_number(request: web.Request) -> int:
    caller = await caller_of(request)
    user_id = caller.require_user()
    count_command(request, caller)
    await request.app[NODE].account_checks.check(caller, fresh=True)
    number = user_number(user_id)
    if number is None:
        raise NotFound(UNKNOWN_USER)
    return number
