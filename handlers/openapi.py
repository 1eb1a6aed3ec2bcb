"""``GET /openapi.json``: the OpenAPI 3.1 description, generated from the table of operations.

Errors are described by what handlers/errors.py really answers. Knows OpenAPI's form; what there is to
describe, handlers/description/operations.py knows.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from aiohttp import web
from pydantic_core import to_json

from sse_push.events import wire
from sse_push.events.ids import format_id, parse_id
from sse_push.handlers.description.components import (
    ERRORS,
    HEADERS,
    NAME_OF,
    PARAMETERS,
    SECURITY,
    SECURITY_SCHEMES,
    headers_of,
    parameter,
    problem_response,
)
from sse_push.handlers.description.forms import ID, MANY_TOPICS, Expired, Gap, Problem
from sse_push.handlers.description.operations import EVENT_STREAM, Media, Operation, operations_of
from sse_push.handlers.description.schemas import REF, Json, Mode, Schemas
from sse_push.handlers.keys import NODE
from sse_push.service.streams import STREAMS, Stream

PATH = "/openapi.json"

_ABOUT = """\
Server-sent events, pushed to the users they are for. Other services publish events by HTTP; each user's streams get \
what is for them, in order, and after a break resume from `Last-Event-ID` without a hole and without a repeat.

Who asks is told by `Authorization: Bearer`, else by the cookie `access_token`, else by `?token=`; the first that is \
there decides. Every answer carries an `X-Request-ID`, the one that was sent or a new one. Errors are problem \
documents (RFC 9457). Pages of other origins may call where `SSE_PUSH_CORS_ORIGINS` lists them.

A stream that can't give everything after `Last-Event-ID` says so first: `event: sse.gap`. One whose token expires \
ends with `event: sse.expired`. Every stream begins with `retry:`, and native `EventSource` gives up after any \
status but 200: honour `Retry-After` and come back."""
_TAGS = {
    "Streams": "What is pushed, as `text/event-stream`. Where a stream takes `Last-Event-ID`, its events have ids.",
    "Commands": "What makes events. A 2xx means that the event is kept and survives a crash.",
    "Group chat": "Rooms with AI members, who answer.",
    "Channel functions": "App functions of a channel (channel.io), with the error forms of that interface.",
    "Accounts": "Logins, users, and their friends.",
    "Status": "How the service is, for people and machines.",
    "Description": "What you are reading.",
}


def routes() -> list[web.RouteDef]:
    return [web.get(PATH, openapi)]


async def openapi(request: web.Request) -> web.Response:
    return served(request, _document(request.app[NODE].version))


@dataclass(frozen=True, slots=True)
class Representation:
    """Bytes that stay as they are while this process runs, with the headers they go out with."""

    body: bytes
    headers: Mapping[str, str]
    etag: str


def representation(body: bytes, content_type: str, **headers: str) -> Representation:
    etag = hashlib.sha256(body).hexdigest()[:32]
    kept = {"Cache-Control": "no-cache", "ETag": f'"{etag}"'}
    return Representation(body, {"Content-Type": content_type, **kept, **headers}, etag)


def served(request: web.Request, it: Representation) -> web.Response:
    """*it*, or 304 where the caller has it (RFC 9110, section 13.1.2: weak comparison)."""
    if any(tag.value in (it.etag, "*") for tag in request.if_none_match or ()):
        return web.Response(
            status=304, headers={name: it.headers[name] for name in ("Cache-Control", "ETag")}
        )
    return web.Response(body=it.body, headers=it.headers)


@lru_cache(maxsize=4)
def _document(version: str) -> Representation:
    return representation(to_json(describe(version)), "application/json")


def describe(version: str, streams: Iterable[Stream] = STREAMS) -> Json:
    """The OpenAPI document of a node of *version* that has *streams*."""
    return _Description(tuple(streams)).document(version)


class _Description:
    def __init__(self, streams: tuple[Stream, ...]) -> None:
        self._of_topic = {stream.topic.name: stream for stream in streams}
        self._operations = operations_of(streams)
        self._schemas = Schemas(self._forms(), [stream.topic for stream in streams])

    def _forms(self) -> Iterator[tuple[Any, Mode]]:
        yield from ((form, "serialization") for form in (Problem, Gap, Expired))
        for operation in self._operations:
            yield operation.params, "serialization"  # in a URL all is text
            yield from ((media.form, "validation") for media in operation.bodies)
            for answer in operation.answers:
                yield from ((media.form, "serialization") for media in answer.media)
            if operation.stream is not None:
                yield from ((payload, "serialization") for payload in operation.stream.payloads)

    def document(self, version: str) -> Json:
        paths: dict[str, Json] = {}
        for operation in self._operations:
            paths.setdefault(operation.path, {})[operation.method] = self._operation(operation)
        of_urls = {self._schemas.of(one.params, "serialization")["$ref"] for one in self._operations}
        return {
            "openapi": "3.1.1",
            "info": {
                "title": "sse-push",
                "version": version,
                "description": _ABOUT,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
            "paths": paths,
            "components": {
                "schemas": {
                    name: form for name, form in self._schemas.named.items() if REF + name not in of_urls
                },
                "parameters": PARAMETERS,
                "headers": HEADERS,
                "responses": {name: problem_response(*error) for name, error in ERRORS.items()},
                "securitySchemes": SECURITY_SCHEMES,
            },
        }

    def _operation(self, operation: Operation) -> Json:
        made: Json = {
            "operationId": operation.id,
            "tags": [operation.tag],
            "summary": operation.summary,
            "description": operation.description,
            "parameters": [*self._parameters(operation), *map(parameter, operation.headers)],
            "responses": self._responses(operation),
            "security": SECURITY[operation.token],
        }
        if operation.bodies:
            content = {media.type: self._media(media, "validation") for media in operation.bodies}
            made["requestBody"] = {"required": True, "content": content}
        return made

    def _parameters(self, operation: Operation) -> Iterator[Json]:
        form = self._schemas.resolve(self._schemas.of(operation.params, "serialization"))
        required = {
            field.alias or name
            for name, field in operation.params.model_fields.items()
            if field.is_required()
        }
        for name, schema in form.get("properties", {}).items():
            in_path = f"{{{name}}}" in operation.path
            plain = {key: value for key, value in schema.items() if key not in ("description", "examples")}
            if isinstance(plain.get("type"), list):
                plain["type"] = "string"
            yield {
                "name": name,
                "in": "path" if in_path else "query",
                "required": in_path or name in required,
                "description": schema.get("description", ""),
                "schema": plain,
                "example": self._schemas.sample(schema, name),
            }

    def _responses(self, operation: Operation) -> Json:
        made: Json = {
            str(status): {"$ref": f"#/components/responses/{NAME_OF[status]}"} for status in operation.errors
        }
        for answer in operation.answers:
            etag = ("ETag",) if "If-None-Match" in operation.headers else ()
            response: Json = {"description": answer.says, "headers": headers_of("X-Request-ID", *etag)}
            if answer.media:
                response["content"] = {
                    media.type: self._event_stream(operation, media) if media.type == EVENT_STREAM else self._media(media, "serialization")
                    for media in answer.media
                }  # fmt: skip
            if answer.status in operation.errors:  # in one of two forms
                shared = problem_response(*ERRORS[NAME_OF[answer.status]])
                response["headers"] |= shared["headers"]
                response["content"] |= shared["content"]
            made[str(answer.status)] = response
        return dict(sorted(made.items()))

    def _media(self, media: Media, mode: Mode) -> Json:
        schema = self._schemas.of(media.form, mode)
        if not media.examples:
            return {"schema": schema, "example": self._schemas.sample(schema)}
        return {"schema": schema, "examples": {name: {"value": value} for name, value in media.examples}}

    def _event_stream(self, operation: Operation, media: Media) -> Json:
        """``x-itemSchema`` is what OpenAPI 3.2 calls itemSchema: the form of one event.

        There is no ``schema``: tools differ in whether it is of the whole text or of one event.
        """
        kept, stream = bool(operation.headers), operation.stream
        ends = operation.tag == "Group chat"  # a turn: it says itself what goes over it
        data: Json = {"type": "string", "contentMediaType": "application/json"}
        if form := self._schemas.of(media.form, "serialization"):
            data["contentSchema"] = form
        if not ends and (stream is None or stream.topic.publishable):
            data["description"] = "Or any JSON or text that `POST /v1/events` published to this topic."
        if ends:
            [(_, example)] = media.examples
            return {"x-itemSchema": {"type": "object", "properties": {"data": data}, "required": ["data"]}, "example": example}  # fmt: skip
        properties: Json = {"data": data, "event": {"type": "string"}, "retry": {"type": "integer"}}
        if kept:
            properties["id"] = {"type": "string"}
        return {
            "x-itemSchema": {"type": "object", "properties": properties, "required": ["data"]},
            "example": self._frames(stream, kept=kept),
        }

    def _frames(self, stream: Stream | None, *, kept: bool) -> str:
        """What *stream* may look like, or one of many topics: an event of each payload."""
        many = [(self._of_topic[name], self._of_topic[name].payloads[0]) for name in MANY_TOPICS]
        shown = many if stream is None else [(stream, payload) for payload in stream.payloads]
        epoch, seq = parse_id(ID) or ("", 0)
        text = wire.frame(retry=3000, id=ID if kept else None)
        for number, (one, payload) in enumerate(shown, seq + 1):
            label = f"{one.topic.name}:general" if one.topic.per_room else one.topic.name
            named = getattr(payload, "event_name", None)
            data = to_json(self._schemas.sample(self._schemas.of(payload, "serialization"))).decode()
            id_ = format_id(epoch, number) if kept else None
            text += wire.frame(wire.data_lines(data), id=id_, event=label if stream is None else named)
        return text.decode()
