"""The API description is true: valid, complete, and of one mind with the models and the handlers."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from pydantic import BaseModel, Field, TypeAdapter

from sse_push.events.event import PushEvent
from sse_push.events.topics import Topic
from sse_push.handlers.app import build_app
from sse_push.handlers.description.components import NAME_OF
from sse_push.handlers.errors import STATUS
from sse_push.handlers.openapi import describe
from sse_push.service.commands import AppPush, SendChat, SendNotification, UpdateEntity
from sse_push.service.people import Login, NewUser
from sse_push.service.streams import STREAMS
from sse_push.service.streams.base import Params, Stream
from tests.conftest import SettingsFactory, Start, mint

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Json:
    return describe("1.2.3")


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def checker(document: Json, schema: Json) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document["components"]})


def test_document_is_valid_openapi(document: Json) -> None:
    validate(document)
    assert document["info"]["version"] == "1.2.3"


def test_document_has_every_route_and_no_other(document: Json, settings_for: SettingsFactory) -> None:
    routes = {
        (route.method, route.resource.canonical)
        for route in build_app(settings_for()).router.routes()
        if route.resource is not None and route.method not in ("HEAD", "QUERY")  # OpenAPI 3.1 has no QUERY
    }

    console = {("GET", "/"), ("GET", "/assets/{name}")}  # a page for people; no part of the API
    assert {(method.upper(), path) for path, method, _ in operations(document)} == routes - console


def test_operations_have_ids_of_their_own_and_a_known_tag(document: Json) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    tags = {tag["name"] for tag in document["tags"]}

    assert len(set(ids)) == len(ids)
    assert all(set(operation["tags"]) <= tags for _, _, operation in operations(document))


def test_references_all_lead_somewhere(document: Json) -> None:
    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    for reference in set(walk(document)):
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def media_of(document: Json) -> Iterator[tuple[str, Json]]:
    for path, method, operation in operations(document):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            yield f"{method} {path} body", media
        for status, response in operation["responses"].items():
            for media in response.get("content", {}).values():
                yield f"{method} {path} {status}", media
    for name, response in document["components"]["responses"].items():
        for media in response["content"].values():
            yield name, media


def test_examples_are_of_their_schemas(document: Json) -> None:
    for where, media in media_of(document):
        examples = [one["value"] for one in media.get("examples", {}).values()] or [media["example"]]
        for example in examples:
            faults = list(checker(document, media.get("schema", {})).iter_errors(example))
            assert not faults, f"{where}: {faults[0].message}"


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/events", PushEvent | list[PushEvent]),
        ("/v1/app/push", AppPush),
        ("/notifications/send", SendNotification),
        ("/realtime/update", UpdateEntity),
        ("/chat/send", SendChat),
        ("/api/auth/login/json", Login),
        ("/api/users", NewUser),
    ],
)
def test_examples_of_commands_validate(document: Json, path: str, model: Any) -> None:
    media = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    for example in [one["value"] for one in media.get("examples", {}).values()] or [media["example"]]:
        TypeAdapter(model).validate_python(example)


EVENTS: list[Json] = [
    {"data": 1, "userId": "42"},
    {"data": None, "userId": 42},
    {"data": 1, "userIds": ["1", 2], "ttl": 0.5, "key": "k"},
    {"data": 1, "room": "general"},
    {"data": 1, "room": "general", "topic": "chat"},
    {"data": 1, "broadcast": True, "event": "named", "topic": "notifications"},
    {"data": 1, "broadcast": False, "userId": "42"},
    {"data": 1},
    {"data": 1, "broadcast": False},
    {"data": 1, "userId": "42", "room": "general"},
    {"data": 1, "userIds": []},
    {"userId": "42"},
    {"data": 1, "userId": ""},
    {"data": 1, "userId": "a\nb"},
    {"data": 1, "userId": "x" * 129},
    {"data": 1, "userId": "42", "event": "sse.gap"},
    {"data": 1, "userId": "42", "event": "a\rb"},
    {"data": 1, "userId": "42", "ttl": 0},
    {"data": 1, "userId": "42", "key": ""},
    {"data": 1, "userId": "42", "more": 1},
]


async def test_push_event_is_described_as_it_is_taken(document: Json, start: Start) -> None:
    service = await start()
    check = checker(document, {"$ref": "#/components/schemas/PushEvent"})
    statuses = {}
    for event in EVENTS:
        answer = await service.post("/v1/events", token=mint("publisher", "service"), json=event)
        statuses[str(event)] = answer.status

    assert statuses == {str(event): 200 if check.is_valid(event) else 422 for event in EVENTS}
    assert set(statuses.values()) == {200, 422}


def test_push_event_goes_to_the_topics_that_can_be_published_to(document: Json) -> None:
    check = checker(document, document["components"]["schemas"]["PushEvent"])
    for stream in STREAMS:
        name = f"{stream.topic.name}:general" if stream.topic.per_room else stream.topic.name
        assert check.is_valid({"data": 1, "broadcast": True, "topic": name}) is stream.topic.publishable


def test_streams_take_last_event_id_where_their_topic_is_kept(document: Json) -> None:
    for stream in STREAMS:
        operation = document["paths"][stream.path]["get"]
        names = {one["$ref"].rpartition("/")[2] for one in operation["parameters"] if "$ref" in one}
        assert names == ({"Last-Event-ID", "lastEventId"} if stream.topic.durable else set())


def test_streams_say_whether_a_token_is_needed(document: Json) -> None:
    for stream in STREAMS:
        operation = document["paths"][stream.path]["get"]
        assert ({} in operation["security"]) is stream.anyone
        assert {"bearer": []} in operation["security"]


class Weather(BaseModel):
    degrees: float
    wind: str | None = None


class WeatherParams(Params):
    city: str = Field(description="Which.")
    days: int = 1


class WeatherStream(Stream):
    """Rain or shine."""

    name = "weather"
    path = "/weather/{city}/stream"
    topic = Topic("weather")
    summary = "The weather of a city."
    Params = WeatherParams
    payloads = (Weather,)


def test_new_stream_describes_itself() -> None:
    document = describe("1", (*STREAMS, WeatherStream()))
    operation = document["paths"]["/weather/{city}/stream"]["get"]
    city, days, *resume = operation["parameters"]

    validate(document)
    assert operation["operationId"] == "stream_weather"
    assert operation["summary"] == "The weather of a city."
    assert "Rain or shine." in operation["description"]
    assert (city["name"], city["in"], city["required"], city["description"]) == (
        "city",
        "path",
        True,
        "Which.",
    )
    assert (days["name"], days["in"], days["required"]) == ("days", "query", False)
    assert len(resume) == 2
    assert "400" in operation["responses"]
    item = operation["responses"]["200"]["content"]["text/event-stream"]["x-itemSchema"]
    assert item["properties"]["data"]["contentSchema"] == {"$ref": "#/components/schemas/Weather"}
    assert document["components"]["schemas"]["Weather"]["required"] == ["degrees"]
    assert "weather" in document["components"]["schemas"]["PushEvent"]["properties"]["topic"]["pattern"]
    assert "WeatherParams" not in document["components"]["schemas"]


def test_every_error_that_can_be_answered_is_described(document: Json) -> None:
    assert set(STATUS.values()) - {200} <= set(NAME_OF)
    headers = {name: set(one["headers"]) for name, one in document["components"]["responses"].items()}
    assert "WWW-Authenticate" in headers["Unauthenticated"]
    assert "Retry-After" in headers["OverLimit"]
    assert "Retry-After" in headers["Unavailable"]
    assert "Retry-After" not in headers["Forbidden"]


ADA = {"email": "ada@example.com", "password": "a password", "name": "Ada"}
CALLS: list[tuple[str, str, str | None, Json]] = [
    ("get", "/v1/app/sse", None, {}),
    ("get", "/v1/app/sse/43", "user", {}),
    ("get", "/sse/connect", "user", {}),
    ("get", "/v1/stream", "user", {"params": {"topics": "nothing"}}),
    ("post", "/v1/events", "service", {"data": b"{"}),
    ("post", "/v1/events", "service", {"json": {"data": 1}}),
    ("post", "/v1/events", "service", {"json": {"data": 1, "userId": "42"}}),
    ("post", "/v1/events", "service", {"json": [{"data": 1, "userId": "42"}]}),
    ("post", "/v1/app/push", "user", {"json": {"message": "m", "userId": 42}}),
    ("post", "/notifications/send", None, {}),
    ("post", "/realtime/update", "admin", {"json": {}}),
    ("post", "/chat/send", "user", {"json": {"roomId": "closed", "message": "m"}}),
    (
        "post",
        "/api/chat/rooms/general/group-sse",
        "user",
        {"json": {"message": "m", "sender": "43", "userName": "u"}},
    ),
    ("post", "/api/chat/rooms/general/group-sse", "user", {"json": {"message": ""}}),
    ("get", "/api/chat/rooms/general/members", "user", {}),
    ("get", "/api/chat/rooms/closed/members", "user", {}),
    ("put", "/functions", "service", {"json": {"method": "nothing"}}),
    ("put", "/functions/v1", "service", {"data": b"{"}),
    ("put", "/functions", "user", {"json": {}}),
    ("put", "/functions", None, {"json": {}}),
    ("get", "/system/status", None, {}),
    ("get", "/sse/status", "admin", {}),
    ("get", "/sse/status", None, {"headers": {"Authorization": "Bearer bad"}}),
    ("get", "/healthz", None, {}),
    ("get", "/readyz", None, {}),
    ("post", "/api/auth/login/json", None, {"data": b"{"}),
    ("post", "/api/auth/login/json", None, {"json": {"email": "ada@example.com"}}),
    ("post", "/api/auth/login/json", None, {"json": {"email": "ada@example.com", "password": "wrong"}}),
    ("post", "/api/users", "admin", {"json": ADA}),
    ("post", "/api/users", "admin", {"json": ADA}),
    ("post", "/api/users", "user", {"json": ADA}),
    ("post", "/api/auth/login/json", None, {"json": {"email": "ada@example.com", "password": "a password"}}),
    ("get", "/api/users", "admin", {}),
    ("get", "/api/users", "admin", {"params": {"limit": "0"}}),
    ("patch", "/api/users/1", "admin", {"json": {"name": "Ada L."}}),
    ("patch", "/api/users/1", "admin", {"json": {"role": "queen"}}),
    ("patch", "/api/users/77", "admin", {"json": {}}),
    ("get", "/api/friends", "user", {}),
    ("put", "/api/friends/1", "user", {}),
    ("delete", "/api/friends/1", None, {}),
    ("delete", "/api/users/77", "admin", {}),
]


async def test_answers_are_as_described(document: Json, start: Start) -> None:
    service = await start()
    for method, path, role, more in CALLS:
        answer = await service.call(method, path, token=role and mint("42", role), **more)
        response = responses_of(document, service.client.app, method, path)[str(answer.status)]
        if "$ref" in response:
            response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        media_type = answer.headers["Content-Type"].partition(";")[0]

        assert media_type in response["content"], (method, path, answer.status)
        checker(document, response["content"][media_type]["schema"]).validate(answer.json)
        if media_type == "application/problem+json":
            assert set(response["headers"]) <= set(answer.headers)


def responses_of(document: Json, app: web.Application | None, method: str, path: str) -> Json:
    """The described responses of the operation that answers *path*."""
    assert app is not None
    matching = [r for r in app.router.resources() if r.get_info().get("path") == path]
    pattern = [
        r
        for r in app.router.resources()
        if "pattern" in r.get_info() and r.get_info()["pattern"].fullmatch(path)
    ]
    return dict(document["paths"][(matching or pattern)[0].canonical][method]["responses"])


async def test_document_is_served_once_and_revalidated(start: Start) -> None:
    service = await start()

    first = await service.get("/openapi.json")
    assert first.status == 200
    assert first.headers["Content-Type"] == "application/json"
    assert first.json == describe(service.node.version)
    etag = first.headers["ETag"]

    for known in (etag, f'"other", W/{etag}', "*"):
        again = await service.get("/openapi.json", headers={"If-None-Match": known})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
    assert (await service.get("/openapi.json", headers={"If-None-Match": '"other"'})).status == 200
