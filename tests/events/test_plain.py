"""Events read plainly: the same as the model makes of the same body, or given back to the model."""

import json
import re
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_push.events.errors import BadEvent
from sse_push.events.event import Event, encode
from sse_push.events.json_text import MAX_DEPTH, NotJson
from sse_push.events.plain import PlainUserEvent, batch_plain, fits_batch, read_plain
from sse_push.events.push_body import read_models
from sse_push.events.topics import MAX_NAME, Topic

TOPIC = Topic("app", whole=True)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
# What a field may hold, and what it may not: the point is that both ways say the same of either.
odd = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
    | st.sampled_from(["", "42", "a" * 128, "a" * 129, "\n", "\x00", "\x7f", "\xa0", "sse.gap", "app", "chat:x", 0, -1, 1e-9])
    | st.lists(st.text(max_size=3) | st.integers(), max_size=3)
)  # fmt: skip
fields = st.sampled_from(
    ["topic", "event", "userId", "userIds", "room", "broadcast", "ttl", "key", "user_id", "more"]
)


def outcome(push: Any) -> Event | str:
    try:
        return encode(push, push.full_topic, TOPIC, 1.0, 2**16)
    except BadEvent as error:
        return error.detail


def read_by_model(body: bytes) -> list[Event | str] | None:
    """What the careful reader makes of the events of *body*; ``None`` if one of them is no event."""
    try:
        pushes, faults = read_models(body, 1000)
    except NotJson:
        return None
    return None if faults else [outcome(push) for push in pushes]


def same(one: Event | str, other: Event | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    fields = ("topic", "keys", "data", "name", "expires", "key")
    return [getattr(one, name) for name in fields] == [getattr(other, name) for name in fields]


@given(
    data=json_values,
    more=st.dictionaries(fields, odd, max_size=3),
    ascii_=st.booleans(),
    spaces=st.booleans(),
)
@example(data="x", more={"userId": 42}, ascii_=True, spaces=False)
@example(data="x", more={"userIds": ["1", 2, "1"]}, ascii_=True, spaces=False)
@example(data="x", more={"userId": True}, ascii_=True, spaces=False)
@example(data="x", more={"userId": "\x7f"}, ascii_=False, spaces=False)
@example(data="x", more={"userId": "a\xa0b"}, ascii_=False, spaces=True)
@example(data="x", more={"broadcast": True, "event": "a\nb"}, ascii_=True, spaces=False)
def test_body_read_plainly_is_what_the_model_makes_of_it(
    data: Any, more: dict[str, Any], ascii_: bool, spaces: bool
) -> None:
    separators = (", ", ": ") if spaces else (",", ":")
    body = json.dumps([{"data": data, **more}], ensure_ascii=ascii_, separators=separators).encode(
        errors="surrogatepass"
    )

    plain = read_plain(body, is_list=True)
    alone = read_plain(body[1:-1], is_list=False)

    assert (alone is None) == (plain is None)
    if plain is not None and alone is not None:
        by_model = read_by_model(body)
        assert by_model is not None, "the model refuses it"
        assert same(outcome(plain[0]), by_model[0])
        assert same(outcome(alone[0]), by_model[0])


@given(
    body=st.binary(max_size=40)
    | st.from_regex(rb'\[\{"data":[\[\]{}:,"\\u0-9a-fe.+-]{0,24}\}\]', fullmatch=True)
)
def test_bytes_that_the_model_refuses_are_not_read(body: bytes) -> None:
    plain = read_plain(body, is_list=True)
    if plain is not None:
        by_model = read_by_model(body)
        assert by_model is not None and len(by_model) == len(plain)


@pytest.mark.parametrize(
    ("data", "out"),
    [
        (b'{ "b" : 1.10,\n\t"a" : [ 1 , 2 ] }', b'{"b":1.10,"a":[1,2]}'),
        (b'{"a":" b  c "}', b'{"a":" b  c "}'),
        (b'"\\u00e9 \\"x\\""', b'"\\u00e9 \\"x\\""'),
        (b"1e400", b"1e400"),
        (b"null", b"null"),
        ("\u00e9".encode().join([b'"', b'"']), "\u00e9".encode().join([b'"', b'"'])),
    ],
)
def test_data_goes_out_as_it_came_without_white_space(data: bytes, out: bytes) -> None:
    [event] = read_plain(b'{"userId": "1", "data": %b }' % data, is_list=False) or []
    assert event.data_json() == out


@pytest.mark.parametrize(
    "body",
    [
        b'{"userId":"1","data":"\xff"}',
        b'{"userId":"1","data":"\\ud800"}',
        b'{"userId":"1","data":NaN}',
        b'{"userId":"1"}',
        b'{"userId":"1","data":1,"x":1}',
        b'{"user_id":"1","data":1}',
        b'{"userId":1.5,"data":1}',
        b'{"userId":%d,"data":1}' % (2**63),
        b'{"userId":%b,"data":1}' % (b"9" * (MAX_NAME + 1)),
        b'{"userId":"%b","data":1}' % (b"a" * (MAX_NAME + 1)),
        b'{"userId":"\\u007f","data":1}',
        b'{"userIds":["a","\\n"],"data":1}',
        b'{"room":"\\u0000","data":1}',
        b'{"broadcast":true,"event":"a\\rb","data":1}',
        b'{"broadcast":true,"event":"sse.gap","data":1}',
        b'{"broadcast":"true","data":1}',
        b'{"broadcast":true,"ttl":0,"data":1}',
        b"",
    ],
)
def test_what_is_unusual_or_wrong_is_left_to_the_model(body: bytes) -> None:
    assert read_plain(body, is_list=False) is None
    assert read_plain(b'[{"userId":"1","data":1},%b]' % body, is_list=True) is None


def events_of(*bodies: bytes) -> list[PlainUserEvent]:
    events = read_plain(b"[%b]" % b",".join(bodies), is_list=True)
    assert events and all(isinstance(event, PlainUserEvent) for event in events)
    return cast("list[PlainUserEvent]", events)


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=4) | st.integers(-9, 2**40), json_values), min_size=1, max_size=6),
    st.sampled_from([Topic("app", whole=True), Topic("client")]),
    st.booleans(),
)  # fmt: skip
def test_batch_is_what_each_event_of_it_is_encoded_as(
    said: list[tuple[str | int, Any]], topic: Topic, ascii_: bool
) -> None:
    bodies = [{"userId": user, "data": data, "topic": topic.name} for user, data in said]
    body = json.dumps(bodies, ensure_ascii=ascii_).encode(errors="surrogatepass")
    plain = read_plain(body, is_list=True)
    if plain is None:
        return
    for_users = cast("list[PlainUserEvent]", plain)
    batch = batch_plain(for_users, topic, 1.0, 2**16)
    assert all(fits_batch(push, topic, 2**16) for push in for_users) == (batch is not None)
    if batch is None:
        assert any(isinstance(data, str) for _, data in said)
        return
    assert [(e.topic, e.keys, e.data, e.at, e.name, e.expires) for e in batch] == [
        (e.topic, e.keys, e.data, e.at, e.name, e.expires)
        for e in (encode(push, topic.name, topic, 1.0, 2**16) for push in plain)
    ]


def test_batch_is_of_one_topic_whose_events_are_alike() -> None:
    one = b'{"userId":"1","data":{}}'
    app = Topic("app")
    assert batch_plain(events_of(one, one), app, 1.0, 2) is not None
    assert batch_plain(events_of(one, b'{"userId":"1","data":[1]}'), app, 1.0, 2) is None, "too large"
    assert batch_plain(events_of(one, b'{"userId":"1","data":"x"}'), app, 1.0, 9) is None, "a text"
    assert batch_plain(events_of(one, b'{"userId":"1","data":1,"topic":"client"}'), app, 1.0, 9) is None
    assert batch_plain(events_of(one), Topic("client"), 1.0, 9) is None
    assert batch_plain(events_of(one), Topic("app", narrowed_by=("a",)), 1.0, 9) is None


def test_event_that_fits_a_batch_is_small_and_no_text_and_of_a_topic_that_nothing_narrows() -> None:
    [one, text] = events_of(b'{"userId":"1","data":[1]}', b'{"userId":"1","data":"x"}')
    app = Topic("app")
    assert fits_batch(one, app, 3)
    assert not fits_batch(one, app, 2)
    assert not fits_batch(text, app, 9)
    assert not fits_batch(one, Topic("app", narrowed_by=("a",)), 9)


DEEPEST = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH


@pytest.mark.parametrize("more", [b"", b',"topic":"narrowed"'])
@pytest.mark.parametrize(
    "data",
    [
        b"1.10",
        b"-0",
        b"0.12345678901234567890",
        b'["\\u0041\\/"]',
        b'{"a":1,"a":2}',
        b"1e999",
        b"9" * 5000,
        b'{"of":%b}' % (b"9" * 5000),
        b'"\\u0000"',
        b'"\\ud83d\\ude00"',
        DEEPEST,
    ],
    ids=lambda data: data[:24].decode(),
)
def test_data_goes_out_as_it_came_whoever_reads_it(data: bytes, more: bytes) -> None:
    body = b'{"userId":"1","data":%b%b}' % (data, more)
    [plain] = read_plain(body, is_list=False) or []
    topic = Topic("narrowed" if more else "app", narrowed_by=("of",) if more else ())
    [model], faults = read_models(body, 1)
    assert model is not None and not faults
    for push in (plain, model):
        assert encode(push, topic.name, topic, 1.0, 2**16).data == data


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 201, 987, 1500, 100_000])
def test_data_that_is_nested_too_deep_is_refused_whoever_reads_it(depth: int) -> None:
    body = b'[{"userId":"1","data":1},{"userId":"1","data":%b%b}]' % (b"[" * depth, b"]" * depth)
    for push in (read_plain(body, is_list=True) or [])[1:]:
        assert re.search("nested over|over the limit", cast("str", outcome(push)))
    pushes, faults = read_models(body, 2)
    assert pushes[0] is not None and pushes[1] is None
    assert [(fault.index, fault.detail) for fault in faults] == [(1, f"nested over {MAX_DEPTH} deep")]


def test_field_that_stands_twice_is_the_last_either_way() -> None:
    body = b'{"userId":"1","userId":"2","data":1,"data":3}'
    [plain] = read_plain(body, is_list=False) or []
    [by_model] = read_by_model(b"[%b]" % body) or []
    assert same(outcome(plain), by_model)
    assert isinstance(by_model, Event) and (by_model.data, by_model.keys[0][-1]) == (b"3", "2")
