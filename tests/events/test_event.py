"""What a publisher may say, and what becomes of it on the wire.

Events are made the way the service makes them: emitted as ``sse.push``, taken by the intake.
"""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from events import wire
from events.emitter import SSE_PUSH, Emitter
from events.errors import BadEvent, EventTooLarge
from events.event import MAX_KEY, MAX_USERS, Event, PushEvent
from events.intake import Intake
from events.topics import MAX_NAME, Topic, filter_keys
from events.wire import MAX_EVENT_NAME
from tests.events.fakes import Clock, MemoryEngine
from tests.events.reference import Message, parse_stream

TOPICS = {
    topic.name: topic for topic in (Topic("app", whole=True), Topic("client"), Topic("chat", per_room=True))
}
MAX_BYTES = 64 * 1024
NOW = 1_700_000_000.0


class _Receipt:
    """Enough of a future to hear of a refusal."""

    error: Exception | None = None

    def done(self) -> bool:
        return False

    def set_exception(self, error: Exception) -> None:
        self.error = error

    def set_result(self, ids: list[str]) -> None:
        pass


def accepted(push: PushEvent, max_bytes: int = MAX_BYTES) -> Event:
    """The event that *push* becomes.

    Raises:
        BadEvent: It is refused.
    """
    emitter, engine, receipt = Emitter(), MemoryEngine(), _Receipt()
    Intake(emitter, engine, TOPICS, max_bytes=max_bytes, clock=Clock(NOW))
    emitter.emit(SSE_PUSH, push, receipt=receipt)
    if receipt.error is not None:
        assert engine.events == []
        raise receipt.error
    (event,) = engine.events
    return event


def sent(data: Any, **more: Any) -> Message:
    """What a reader gets of *data*."""
    more = more or {"broadcast": True}
    stream = parse_stream(accepted(PushEvent(data=data, **more)).frame())
    assert stream.unknown == [] and stream.comments == []
    (message,) = stream.messages
    return message


def refusal(**fields: Any) -> str:
    """Why an event of *fields* is refused, by the model or when it is taken."""
    with pytest.raises((ValidationError, BadEvent)) as caught:
        accepted(PushEvent.model_validate({"data": 1, **fields}))
    return str(caught.value)


def audience(**fields: Any) -> list[str] | None:
    """The users that an event of *fields* is for, in the order of its keys; ``None`` is everybody."""
    event = accepted(PushEvent.model_validate({"data": 1, "topic": "client", **fields}))
    if event.keys == filter_keys(event.topic, None):
        return None
    return [key.removeprefix(f"{event.topic}\x1f@") for key in event.keys]


# -- whom it is for --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "users"),
    [
        ({"userId": "1"}, ["1"]),
        ({"user_id": "1"}, ["1"]),
        ({"userIds": ["1", "2"]}, ["1", "2"]),
        ({"userIds": ["2", "1", "2"]}, ["2", "1"]),
        ({"broadcast": True}, None),
        ({"room": "general", "topic": "chat"}, None),
        ({"userId": "1", "broadcast": False}, ["1"]),
    ],
)
def test_audience_is_the_one_given(fields: dict[str, Any], users: list[str] | None) -> None:
    assert audience(**fields) == users


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"broadcast": False},
        {"userId": None},
        {"userId": "1", "broadcast": True},
        {"userId": "1", "userIds": ["1"]},
        {"userId": "1", "room": "general"},
        {"room": "general", "broadcast": True},
        {"userIds": ["1"], "room": "general", "broadcast": True},
    ],
)
def test_audience_must_be_exactly_one(fields: dict[str, Any]) -> None:
    assert "exactly one of" in refusal(**fields)


@pytest.mark.parametrize(("number", "text"), [(42, "42"), (0, "0"), (-7, "-7"), (10**30, str(10**30))])
def test_number_means_its_text(number: int, text: str) -> None:
    assert audience(userId=number) == [text]
    assert audience(userIds=[number, text]) == [text]
    assert accepted(PushEvent.model_validate({"data": 1, "room": number})).topic == f"chat:{text}"
    push = PushEvent.model_validate_json(f'{{"data": 1, "userId": {number}, "topic": "client"}}')
    assert accepted(push).keys == (f"client\x1f@{text}",)


@pytest.mark.parametrize("field", ["userId", "room"])
@pytest.mark.parametrize(
    "name", ["", "a\n", "\r", "a\x00b", "\x1f", "\x7f", "x" * (MAX_NAME + 1), True, ["1"], {"a": 1}, "\ud800"]
)
def test_name_must_be_1_to_128_characters_without_controls(field: str, name: object) -> None:
    refusal(**{field: name})
    refusal(userIds=["1", name])


@pytest.mark.parametrize("name", ["x" * MAX_NAME, "é" * MAX_NAME, "\U0001f600" * MAX_NAME, " ", "*", "@1"])
def test_name_may_be(name: str) -> None:
    assert audience(userId=name) == [name]
    assert accepted(PushEvent(data=1, room=name)).topic == f"chat:{name}"


def test_users_are_bounded() -> None:
    assert audience(userIds=[str(n) for n in range(MAX_USERS)]) == [str(n) for n in range(MAX_USERS)]
    refusal(userIds=[str(n) for n in range(MAX_USERS + 1)])
    refusal(userIds=[])


@pytest.mark.parametrize(
    "fields",
    [
        {"userId": "1", "colour": "red"},
        {"userId": "1", "id": "k-1"},
        {"userId": "1", "seq": 4},
        {"user": "1"},
    ],
)
def test_field_that_is_not_known_is_refused(fields: dict[str, Any]) -> None:
    refusal(**fields)


def test_data_must_be_given_but_may_be_null() -> None:
    with pytest.raises(ValidationError):
        PushEvent.model_validate({"userId": "1"})
    assert sent(None).data == "null"


# -- topics ----------------------------------------------------------------------------------------


def test_topic_is_app_unless_said() -> None:
    assert accepted(PushEvent(data=1, broadcast=True)).topic == "app"
    assert accepted(PushEvent(data=1, topic="client", user_id="1")).topic == "client"


@pytest.mark.parametrize("topic", ["chat", "chat:general"])
def test_room_may_name_its_own_topic(topic: str) -> None:
    assert accepted(PushEvent(data=1, room="general", topic=topic)).topic == "chat:general"


@pytest.mark.parametrize("topic", ["chat:other", "chat:", "client", "realtime", ""])
def test_room_with_another_topic_is_refused(topic: str) -> None:
    refusal(room="general", topic=topic)


# -- the event's name ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a\nb", "a\rb", "a\x00", "\n", "x\r\ndata: y", "", "x" * (MAX_EVENT_NAME + 1)]
)
def test_event_name_that_could_forge_a_field_is_refused(name: str) -> None:
    refusal(userId="1", event=name)


@pytest.mark.parametrize("name", ["sse.gap", "sse.expired", "sse.", "sse.anything"])
def test_event_name_of_the_service_is_refused(name: str) -> None:
    assert "service's own" in refusal(userId="1", event=name)


@pytest.mark.parametrize(
    "name", ["tick", "sse", "ssegap", "SSE.gap", "a b", ":x", " x", "x" * MAX_EVENT_NAME, "é"]
)
def test_event_name_reaches_the_reader(name: str) -> None:
    assert sent(1, user_id="1", event=name).type == name


# -- limits ----------------------------------------------------------------------------------------


def test_key_is_bounded() -> None:
    assert PushEvent(data=1, broadcast=True, key="k" * MAX_KEY).key == "k" * MAX_KEY
    refusal(broadcast=True, key="k" * (MAX_KEY + 1))
    refusal(broadcast=True, key="")


@pytest.mark.parametrize("ttl", [0, -1, math.inf, math.nan, "soon"])
def test_ttl_must_be_a_time_to_come(ttl: object) -> None:
    refusal(broadcast=True, ttl=ttl)


def test_ttl_ends_that_much_after_acceptance() -> None:
    assert accepted(PushEvent(data=1, broadcast=True, ttl=2.5)).expires == NOW + 2.5
    assert accepted(PushEvent(data=1, broadcast=True)).expires is None


def test_data_may_take_so_many_bytes_and_no_more() -> None:
    assert accepted(PushEvent(data="x" * 98, broadcast=True), max_bytes=100).data == b'"' + b"x" * 98 + b'"'
    with pytest.raises(EventTooLarge) as caught:
        accepted(PushEvent(data="é" * 50, broadcast=True), max_bytes=100)
    assert (caught.value.size, caught.value.limit) == (102, 100)


def test_push_cannot_be_changed_after_validation() -> None:
    push = PushEvent(data=1, user_id="1")
    with pytest.raises(ValidationError):
        push.user_id = "a\nb"  # type: ignore[misc]


# -- data ------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(json_values.filter(lambda value: not isinstance(value, str)))
def test_json_reaches_the_reader_as_one_line_of_json(value: Any) -> None:
    event = accepted(PushEvent(data=value, broadcast=True))
    assert event.frame().count(b"data: ") - json.dumps(value, ensure_ascii=False).count("data: ") == 1
    assert event.frame().count(b"\n") == 3 and b"\r" not in event.frame()
    (message,) = parse_stream(event.frame()).messages
    assert json.loads(message.data) == value


@given(st.text())
def test_text_reaches_the_reader_as_that_text(text: str) -> None:
    assert sent(text).data == text.replace("\r\n", "\n").replace("\r", "\n")


@given(json_values)
def test_event_from_a_json_body_is_the_same_as_one_made_in_process(value: Any) -> None:
    body = json.dumps({"data": value, "userId": 7})
    assert (
        accepted(PushEvent.model_validate_json(body)).data
        == accepted(PushEvent(data=value, user_id="7")).data
    )


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("plain", "plain"),
        ('"quoted"', '"quoted"'),
        ("", ""),
        ("a\nb", "a\nb"),
        ({"a": "x\ny"}, r'{"a":"x\ny"}'),
        ({"z": 1, "a": [1, 2, {"é": None}]}, '{"z":1,"a":[1,2,{"é":null}]}'),
        (["x"], '["x"]'),
        (42, "42"),
        (2**70, str(2**70)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (1.5, "1.5"),
        (True, "true"),
        (None, "null"),
        ({}, "{}"),
        ("NaN", "NaN"),
        ({"note": "Infinity and NaN"}, '{"note":"Infinity and NaN"}'),
        ({"NaN": 1}, '{"NaN":1}'),
    ],
)
def test_data_goes_out_as_text_or_compact_json(data: Any, line: str) -> None:
    assert sent(data).data == line


def test_big_numbers_of_a_json_body_keep_every_digit() -> None:
    push = PushEvent.model_validate_json('{"data": [123456789012345678901234567890], "broadcast": true}')
    assert accepted(push).frame() == b"id: aaaaaaaa-1\ndata: [123456789012345678901234567890]\n\n"


def test_keys_keep_the_order_they_came_in() -> None:
    push = PushEvent.model_validate_json(
        '{"broadcast": true, "data": {"z": 1, "a": 2, "m": {"y": 1, "b": 2}}}'
    )
    assert accepted(push).data == b'{"z":1,"a":2,"m":{"y":1,"b":2}}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "shape", [lambda n: n, lambda n: [1, n], lambda n: {"a": {"b": [n]}}, lambda n: (n,)]
)
def test_number_that_json_has_not_is_refused(number: float, shape: Any) -> None:
    with pytest.raises(BadEvent, match="NaN or Infinity"):
        accepted(PushEvent(data=shape(number), broadcast=True))


@pytest.mark.parametrize("body", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_number_that_json_has_not_is_refused_in_a_body(body: str) -> None:
    with pytest.raises((BadEvent, ValidationError)):
        accepted(PushEvent.model_validate_json(f'{{"data": {body}, "broadcast": true}}'))


@pytest.mark.parametrize("data", ["\ud800", ["a", "\udfff"], {"\ud800": 1}, {"a": "x\ud83d"}])
def test_half_a_surrogate_is_refused(data: Any) -> None:
    with pytest.raises(BadEvent):
        accepted(PushEvent(data=data, broadcast=True))


def test_half_a_surrogate_in_a_json_body_is_refused() -> None:
    with pytest.raises((BadEvent, ValidationError)):
        accepted(PushEvent.model_validate_json(r'{"data": "\ud800", "broadcast": true}'))


@pytest.mark.parametrize("field", ["topic", "event", "key"])
def test_half_a_surrogate_in_a_name_is_refused(field: str) -> None:
    refusal(broadcast=True, **{field: "a\ud800"})


def _endless() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize(
    "data", [object(), {"a": object()}, _endless(), b"\xff"], ids=["object", "nested", "endless", "bytes"]
)
def test_data_of_no_json_type_is_refused(data: Any) -> None:
    with pytest.raises(BadEvent, match="can't be written as JSON"):
        accepted(PushEvent(data=data, broadcast=True))


# -- frames ----------------------------------------------------------------------------------------


def test_frame_has_no_event_line_unless_the_publisher_named_one() -> None:
    assert accepted(PushEvent(data="x", broadcast=True)).frame() == b"id: aaaaaaaa-1\ndata: x\n\n"
    named = accepted(PushEvent(data="x", broadcast=True, event="tick"))
    assert named.frame() == b"id: aaaaaaaa-1\nevent: tick\ndata: x\n\n"


def test_named_frame_is_named_by_the_topic_and_the_name() -> None:
    assert (
        accepted(PushEvent(data="x", broadcast=True)).named_frame()
        == b"id: aaaaaaaa-1\nevent: app\ndata: x\n\n"
    )
    named = accepted(PushEvent(data="x", room="general", event="tick"))
    assert named.named_frame() == b"id: aaaaaaaa-1\nevent: chat:general/tick\ndata: x\n\n"


def test_frame_of_an_event_that_is_not_kept_has_no_id() -> None:
    event = Event("custom", ("custom\x1f*",), b'{"a":1}')
    assert event.frame() == b'data: {"a":1}\n\n'
    assert event.named_frame() == b'event: custom\ndata: {"a":1}\n\n'


@given(json_values, st.none() | st.text(min_size=1, max_size=20))
def test_both_frames_carry_the_same_data_and_id(value: Any, name: str | None) -> None:
    try:
        event = accepted(PushEvent(data=value, broadcast=True, event=name))
    except ValidationError:
        return  # a name that could forge a line
    (plain,) = parse_stream(event.frame()).messages
    (named,) = parse_stream(event.named_frame()).messages
    assert (plain.data, plain.last_event_id) == (named.data, named.last_event_id)
    assert plain.type == (name or "message")
    assert named.type == ("app" if name is None else f"app/{name}")


def test_frame_is_made_once() -> None:
    event = accepted(PushEvent(data={"a": 1}, broadcast=True))
    assert event.frame() is event.frame()
    assert event.named_frame() is event.named_frame()


@pytest.mark.parametrize("event", [None, "update"])
@pytest.mark.parametrize("data", [1, {"a": "b"}, "text\nof two lines", ""])
def test_chunk_is_the_frame_as_one_chunk_whichever_is_asked_for_first(data: Any, event: str | None) -> None:
    chunk_first, frame_first = (accepted(PushEvent(data=data, event=event, broadcast=True)) for _ in range(2))
    chunk_first.id = frame_first.id = "k7-12"
    chunk = chunk_first.chunk()
    assert chunk == wire.chunk(frame_first.frame()) == frame_first.chunk() == chunk_first.chunk()
    assert chunk_first.frame() == frame_first.frame()
