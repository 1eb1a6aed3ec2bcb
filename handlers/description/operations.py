"""The table of operations: what each endpoint takes and answers, for the API description.

Streams become operations from their registry, so a new one is here by itself. Forms are the models that
validate, or forms.py's. Knows nothing of OpenAPI's own form.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, Field

from sse_push.events.event import PushEvent
from sse_push.handlers.accounts import UserParams, UsersParams
from sse_push.handlers.description.forms import (
    ID,
    FunctionCall,
    FunctionError,
    FunctionResult,
    Health,
    ManyParams,
    Published,
    PublishedList,
    VersionParams,
)
from sse_push.handlers.topics import ManyTopics
from sse_push.service.commands import AppPush, SayToGroup, SendChat, SendNotification, UpdateEntity
from sse_push.service.group_chat import frames
from sse_push.service.group_chat.schemas import RoomMember, RoomParams
from sse_push.service.people import Friend, LoggedIn, Login, NewUser, User, UserChange
from sse_push.service.status import ClientStatus, SystemStatus
from sse_push.service.streams import TOPICS, SessionStream, Stream
from sse_push.service.streams.base import Params

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"
NDJSON: Final = "application/x-ndjson"

Token = Literal["needed", "optional", "none", "demo or signature"]


@dataclass(frozen=True, kw_only=True)
class Media:
    """A body: the model (or other annotation) of its form, its media type, examples by name."""

    form: Any
    type: str = JSON
    examples: tuple[tuple[str, Any], ...] = ()


class Answer(NamedTuple):
    """An answer that is no problem document."""

    status: int
    says: str
    media: tuple[Media, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path.

    Attributes:
        token: Whether the caller needs one. ``optional``: a bad one is refused all the same.
        params: The model of its path and query.
        headers: Further parameters, by their names in :mod:`sse_push.handlers.openapi`.
        errors: Statuses that are problem documents.
        stream: The stream that it opens.
    """

    method: str = "get"
    path: str
    id: str
    tag: str
    summary: str
    description: str = ""
    token: Token = "none"
    params: type[BaseModel] = Params
    headers: tuple[str, ...] = ()
    bodies: tuple[Media, ...] = ()
    answers: tuple[Answer, ...]
    errors: tuple[int, ...] = ()
    stream: Stream | None = None


_RESUME = ("Last-Event-ID", "lastEventId")
_STREAMING = "The stream: `retry:` first, then events as they come, and a comment at each heartbeat."
_KEPT = "Kept, ordered and on its way: it survives the death of this process."
_FOR_PUBLISHERS = "For services and admins."
_FOR_ADMINS = "For admins."


def _stream(stream: Stream) -> Operation:
    form: Any = Any
    for index, payload in enumerate(stream.payloads):
        form = form | payload if index else payload
    refuses = type(stream).filter is not Stream.filter  # it may, if it decides for itself
    has_session = isinstance(stream, SessionStream)
    errors = {400: stream.Params is not Params, 401: True, 403: refuses and not has_session, 404: has_session, 429: True, 503: True}  # fmt: skip
    who = (
        "For anyone." if stream.anyone else "For users that have an account." if has_session else "For users."
    )
    return Operation(
        path=stream.path,
        id=f"stream_{stream.name}",
        tag="Streams",
        summary=stream.summary,
        description=" ".join(filter(None, (who, type(stream).__doc__))),
        token="optional" if stream.anyone else "needed",
        params=stream.Params,
        headers=_RESUME if stream.topic.durable else (),
        answers=(Answer(200, _STREAMING, (Media(type=EVENT_STREAM, form=form),)),),
        errors=tuple(status for status, applies in errors.items() if applies),
        stream=stream,
    )


def _command(
    path: str,
    id: str,
    summary: str,
    *bodies: Media,
    description: str = _FOR_PUBLISHERS,
    answers: tuple[Media, ...] = (Media(form=Published),),
) -> Operation:
    return Operation(
        method="post",
        path=path,
        id=id,
        tag="Commands",
        summary=summary,
        description=description,
        token="needed",
        headers=("Idempotency-Key",),
        bodies=bodies,
        answers=(Answer(200, _KEPT, answers),),
        errors=(400, 401, 403, 413, 415, 422, 429, 503),
    )


_FUNCTION_ANSWERS = (
    (
        "result",
        {"result": {"type": "string", "attributes": {"message": "Redirect command sent to client 42"}}},
    ),
    ("error", {"error": {"type": "CLIENT_NOT_CONNECTED", "message": "Client 42 is not connected"}}),
)


def _function_error(status: int, says: str, type: str, message: str) -> Answer:
    example = {"error": {"type": type, "message": message}}
    return Answer(status, says, (Media(form=FunctionError, examples=((type, example),)),))


def _function(path: str, id: str, summary: str, description: str, params: type[BaseModel]) -> Operation:
    return Operation(
        method="put",
        path=path,
        id=id,
        tag="Channel functions",
        summary=summary,
        description=description,
        token="demo or signature",
        params=params,
        bodies=(Media(form=FunctionCall),),
        answers=(
            Answer(
                200,
                "Its result or its error.",
                (Media(form=FunctionResult | FunctionError, examples=_FUNCTION_ANSWERS),),
            ),
            _function_error(400, "The body is not JSON.", "PARSE_ERROR", "the body is not JSON"),
            _function_error(
                401,
                "The signature is not of this body; or, without a signing key, a token is needed.",
                "UNAUTHORIZED",
                "invalid signature",
            ),
        ),
        errors=(401, 403, 413, 429),
    )


def _account(method: str, path: str, id: str, summary: str, *errors: int, answer: Any = None, status: int = 200, **more: Any) -> Operation:  # fmt: skip
    says = "The answer." if answer is not None else "Done."
    media = (Media(form=answer),) if answer is not None else ()
    token: Token = more.pop("token", "needed")
    refused = (
        (401, 403, 429, 503)
        if token == "needed" and more.get("description", "").startswith(_FOR_ADMINS)
        else (401, 429, 503)
    )
    return Operation(
        method=method, path=path, id=id, tag="Accounts", summary=summary, token=token,
        answers=(Answer(status, says, media),), errors=tuple(sorted({*errors, *refused})), **more,
    )  # fmt: skip


def _turn() -> str:
    """A turn of group chat, as it goes over the wire."""
    at = "2026-01-18T10:30:00.000Z"
    said = [
        frames.UserMessage(content="Hello", sender="ada", sender_id="42", timestamp=at),
        frames.AiResponse(content="Hello, ada.", ai_name="Basil", ai_id="2", persona_id=2, timestamp=at),
        frames.ExpUpdated(persona_id=2, persona_name="Basil", new_exp=150, new_level=2, exp_increase=5, user_id="42"),
        frames.TurnComplete(message="everybody has answered", timestamp=at),
    ]  # fmt: skip
    return (b"".join(frame.encode() for frame in said) + frames.DONE).decode()


def _question(path: str, id: str, summary: str, media: Media, **more: Any) -> Operation:
    cached = (Answer(304, "It has not changed."),) if more["tag"] == "Description" else ()
    return Operation(path=path, id=id, summary=summary, answers=(Answer(200, "The answer.", (media,)), *cached), **more)  # fmt: skip


_MANY: dict[str, Any] = {
    "tag": "Streams",
    "description": "For users. Each frame's `event:` is its topic, or `topic/name` where its publisher named it; the"
    " data is unchanged. One topic that the caller may not have refuses the whole."
    f" Topics: {', '.join(f'`{topic.name}:ROOM`' if topic.per_room else f'`{topic.name}`' for topic in TOPICS.values())}.",
    "token": "needed",
    "headers": _RESUME,
    "answers": (Answer(200, _STREAMING, (Media(type=EVENT_STREAM, form=Any),)),),
}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        path="/v1/stream",
        id="stream_many",
        summary="Many topics over one connection.",
        params=ManyParams,
        errors=(400, 401, 403, 404, 429, 503),
        **_MANY,
    ),
    Operation(
        method="post",
        path="/v1/stream",
        id="stream_many_by_body",
        summary="The same, for topics that are many or have long names; the method QUERY does as well.",
        bodies=(Media(form=ManyTopics),),
        errors=(400, 401, 403, 404, 413, 422, 429, 503),
        **_MANY,
    ),
    _command(
        "/v1/events",
        "publish_events",
        "Publish events: one, a list, or a stream of lines.",
        Media(
            form=PushEvent | Annotated[list[PushEvent], Field(min_length=1)],
            examples=(
                ("to a user", {"userId": "42", "data": {"message": "hello"}}),
                ("to all, once, for a minute", {"topic": "notifications", "broadcast": True, "event": "notice", "data": "plain text", "ttl": 60, "key": "notice-17"}),
                ("a list", [{"room": "general", "data": {"message": "hello, room"}}, {"userIds": ["42", "43"], "data": [1, 2]}]),
            ),
        ),
        Media(
            type=NDJSON,
            form=Annotated[str, Field(description="A PushEvent a line.")],
            examples=(("lines", '{"userId":"42","data":1}\n{"broadcast":true,"data":{"message":"hello, all"}}\n'),),
        ),
        description=f"{_FOR_PUBLISHERS} A list with one bad event is refused whole. NDJSON is a request without an"
        " end: each line is one event, answered by one line, in the same order, as soon as it is safe.",
        answers=(
            Media(form=Published | PublishedList, examples=(("one", {"id": ID}), ("a list", {"ids": [ID, "k7f3q2xa-1025"]}))),
            Media(type=NDJSON, form=str, examples=(("lines", f'{{"id":"{ID}"}}\n{{"error":"the line is not JSON"}}\n'),)),
        ),
    ),
    _command(
        "/v1/app/push",
        "push_app",
        "Push a message to one user's app stream.",
        Media(form=AppPush, examples=(("to a user", {"message": "Hello", "userId": 42}),)),
        description=f"{_FOR_PUBLISHERS} The user gets the body as it was sent.",
    ),
    _command(
        "/notifications/send",
        "send_notification",
        "Notify some users, or all where none is named.",
        Media(
            form=SendNotification,
            examples=(
                ("to users", {"title": "Deploy", "message": "Version 7 is live", "type": "success", "userIds": ["42", "43"]}),
                ("to all", {"title": "Maintenance", "message": "At noon", "type": "warning"}),
            ),
        ),
    ),
    _command(
        "/realtime/update",
        "update_entity",
        "Tell some users that an entity changed, or all where none is named.",
        Media(
            form=UpdateEntity,
            examples=(
                ("to one user", {"entityType": "order", "entityId": "A-1042", "action": "updated", "data": {"state": "packed"}, "userId": "42"}),
                ("to all", {"entityType": "price", "entityId": "7", "action": "updated", "data": {"eur": 12}}),
            ),
        ),
    ),
    _command("/chat/send", "send_chat", "Say something in a room.", Media(form=SendChat), description="For users allowed in the room."),
    Operation(
        method="post",
        path="/api/chat/rooms/{roomId}/group-sse",
        id="group_chat",
        tag="Group chat",
        summary="Say something in a room, and have its AI members answer.",
        description="For users allowed in the room. The answer is the stream of one turn: it ends with `[DONE]`. The message"
        " and the answers reach the room's `/chat/stream` too, whether or not the caller stays.",
        token="needed",
        params=RoomParams,
        headers=("Idempotency-Key",),
        bodies=(Media(form=SayToGroup),),
        answers=(
            Answer(
                200,
                "The turn: `user_message`; `ai_response` or `error` of each AI member; `exp_updated`; `complete` or `timeout`; `[DONE]`.",
                (Media(type=EVENT_STREAM, form=frames.AnyFrame, examples=(("a turn", _turn()),)),),
            ),
        ),
        errors=(400, 401, 403, 413, 415, 422, 429, 503),
    ),
    _question(
        "/api/chat/rooms/{roomId}/members",
        "room_members",
        "The AI members of a room.",
        Media(form=list[RoomMember]),
        tag="Group chat",
        description="For users allowed in the room, with what the caller has earned with each.",
        token="needed",
        params=RoomParams,
        errors=(400, 401, 403, 503),
    ),
    _function(
        "/functions",
        "call_function",
        "Call a channel app function.",
        "`redirectClient` sends a client that holds `/sse/connect` to a URL of an allowed origin"
        " (`SSE_PUSH_REDIRECT_ORIGINS`). Where a signing key is set, calls must be signed; without one they are open"
        " in demo mode, and for services and admins otherwise.",
        Params,
    ),
    _function("/functions/{version}", "call_function_version", "Call a function of a version.", "As `PUT /functions`.", VersionParams),
    _account("post", "/api/users", "add_user", "Make a user.", 400, 409, 413, 415, 422, answer=User, status=201, bodies=(Media(form=NewUser),), description=_FOR_ADMINS),
    _account("post", "/api/auth/login/json", "log_in", "Log in: a token for an e-mail address and its password.", 400, 404, 413, 415, 422, answer=LoggedIn, bodies=(Media(form=Login),), token="none", description="404 where tokens are another issuer's (`SSE_PUSH_JWKS_URL`)."),
    _account("get", "/api/users", "list_users", "The users, by their numbers.", 400, answer=list[User], params=UsersParams, description=_FOR_ADMINS),
    _account("patch", "/api/users/{userId}", "change_user", "Change a user's name, password or role, or shut them out.", 400, 404, 413, 422, answer=User, params=UserParams, bodies=(Media(form=UserChange),), description=f"{_FOR_ADMINS} Another password or role, and being shut out, make the tokens of their logins void."),
    _account("get", "/api/friends", "list_friends", "The caller's friends, and who has asked whom.", 404, answer=list[Friend], description="For users that have an account."),
    _account("put", "/api/friends/{userId}", "ask_friend", "Ask a user to be the caller's friend, or say yes to them.", 400, 404, answer=Friend, params=UserParams, description="For users that have an account. A friendship stands once both have asked."),
    _account("delete", "/api/friends/{userId}", "end_friendship", "End it, however it stands.", 404, status=204, params=UserParams, description="For users that have an account."),
    _account("delete", "/api/users/{userId}", "remove_user", "Remove a user and their friendships.", 404, status=204, params=UserParams, description=_FOR_ADMINS),
    _question("/system/status", "system_status", "How this node is.", Media(form=SystemStatus), tag="Status", token="optional", errors=(401,)),
    _question("/sse/status", "client_status", "How many clients hold /sse/connect.", Media(form=ClientStatus), tag="Status", description="Their ids only for an admin.", token="optional", errors=(401,)),
    _question("/healthz", "healthz", "The process runs and answers.", Media(form=Health), tag="Status"),
    _question("/readyz", "readyz", "This node takes streams and can keep events.", Media(form=Health), tag="Status", errors=(503,)),
    _question("/metrics", "metrics", "Metrics for Prometheus.", Media(type="text/plain", form=str, examples=(("a line of them", 'sse_push_connections{stream="app"} 3.0\n'),)), tag="Status"),
    _question("/openapi.json", "openapi", "This description, for programs.", Media(form=dict[str, Any], examples=(("its beginning", {"openapi": "3.1.1"}),)), tag="Description", headers=("If-None-Match",)),
    _question("/docs", "docs", "This description, for people.", Media(type="text/html", form=str, examples=(("its beginning", "<!doctype html>"),)), tag="Description", headers=("If-None-Match",)),
)  # fmt: skip


def operations_of(streams: Iterable[Stream]) -> tuple[Operation, ...]:
    """The streams' operations, then those of the table."""
    return (*map(_stream, streams), *OPERATIONS)
