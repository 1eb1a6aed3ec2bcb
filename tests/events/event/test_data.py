"""What a publisher's data becomes: the text as it is, anything else as compact JSON; what JSON has not is refused."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sse_push.events.errors import BadEvent, EventTooLarge
from sse_push.events.event import PushEvent
from tests.events.event.taking import accepted, json_values, sent
from tests.events.reference import parse_stream


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


def test_data_may_take_so_many_bytes_and_no_more() -> None:
    assert accepted(PushEvent(data="x" * 98, broadcast=True), max_bytes=100).data == b'"' + b"x" * 98 + b'"'
    with pytest.raises(EventTooLarge) as caught:
        accepted(PushEvent(data="é" * 50, broadcast=True), max_bytes=100)
    assert (caught.value.size, caught.value.limit) == (102, 100)


# -- what JSON has not -----------------------------------------------------------------------------


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
