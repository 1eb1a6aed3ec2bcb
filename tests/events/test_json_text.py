"""JSON checked the same way on every Python: depth, halves of surrogate pairs, form, a byte order mark."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_push.events.json_text import (
    HALF_PAIR,
    MAX_DEPTH,
    TOO_DEEP,
    Checked,
    Encoded,
    NotJson,
    elements_of,
    encoded,
    fields_of,
    is_any_too_deep,
    is_too_deep,
    object_of,
)

# Nested values, often deeper than the small limits of these tests.
nested = st.recursive(
    st.sampled_from([0, "", "[", "]]]", '{"', "\\", '\\"[', "\ud83d", "\U0001f600", "\\ud83d"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "[{"]), inner, max_size=2)
    ),
    max_leaves=30,
)


def depth_of(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth_of, inner), default=0)


def has_half(value: Any) -> bool:
    return re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False)) is not None


@given(nested, st.integers(0, 12))
@example([[[[[[[[]]]]]]]], 7)
@example([[[[[[[[]]]]]]]], 8)
@example([["[["], [["{"]]], 3)
def test_text_is_too_deep_if_its_value_is(value: Any, limit: int) -> None:
    text = json.dumps(value, ensure_ascii=True).encode()
    limit = max(limit, 4)

    assert is_too_deep(text, limit) == (depth_of(value) > limit)
    assert is_too_deep(json.dumps(value, indent=1).encode(), limit) == (depth_of(value) > limit)


@given(st.lists(nested, max_size=4), st.integers(4, 8))
def test_faults_are_found_where_they_are_and_nowhere_else(values: list[Any], limit: int) -> None:
    text = json.dumps(values).encode()

    checked = Checked(text, limit + 1)

    for value, element in zip(values, elements_of(checked.text), strict=True):
        details = checked.faults_in(element)
        assert (TOO_DEEP in details) == (depth_of(value) > limit)
        if TOO_DEEP not in details:  # what is cut out is not looked at any more
            assert (HALF_PAIR in details) == has_half(value)
        if not details:
            assert json.loads(element) == value


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"[1", b"[1]]", b"1 2", b"NaN", b"[Infinity]", b"[-]", b"[01]", b"'a'", b'"\n"', b'"\x00"',
        b'"\xff"', b'"\xed\xa0\xbd"', b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf1", b'"\\ud83d', b'"\\ud8"', b'"\\x"',
        b'["\\ud83d\x01\x01"]', b"[" * 100_000, b"[" * 70 + b"]" * 69,
    ],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(NotJson):
        Checked(body)


@pytest.mark.parametrize(
    ("text", "halves"),
    [
        (b'"\\ud83d"', True),
        (b'"\\uDE00"', True),
        (b'"\\ud83dx\\ude00"', True),
        (b'"\\ude00\\ud83d"', True),
        (b'"\\ud83d\\ud83d\\ude00"', True),
        (b'"\\ud83d\\ude00\\ude00"', True),
        (b'"\\\\\\ud83d"', True),
        (b'{"\\ud83d":1}', True),
        (b'"\\ud83d\\ude00"', False),
        (b'"\\\\ud83d"', False),
        (b'"\\\\\\\\ud83d\\\\\\\\"', False),
    ],
)
def test_half_of_a_surrogate_pair_is_told_from_a_pair_and_from_a_backslash(text: bytes, halves: bool) -> None:
    checked = Checked(text)

    assert checked.faults_in(checked.text) == [HALF_PAIR] * halves


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_text_is_on_one_line_without_a_byte_order_mark(mark: bytes) -> None:
    assert Checked(mark + b' { "a" :\r\n[ 1.10,\t" b " ] } \n').text == b'{"a":[1.10," b "]}'


def test_fields_of_an_object_are_its_last_of_each_name() -> None:
    assert fields_of(b'{"a":1,"b":[ ],"a":2}') == {"a": b"2", "b": b"[ ]"}
    assert fields_of(b"[1]") is None
    assert object_of({'"': b"1.10", "b": b"[]"}) == b'{"\\"":1.10,"b":[]}'


def test_fields_that_are_json_already_are_written_as_they_are() -> None:
    assert encoded({"a": "é", "data": Encoded(b"1.10")}) == '{"a":"é","data":1.10}'.encode()
    assert encoded({"a": 1}) == {"a": 1}


def test_any_of_some_texts_may_be_too_deep() -> None:
    deepest, deeper = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, b"[" * 65 + b"]" * 65
    wide = b"[" + b"[]," * 100 + b"1]"

    assert not is_any_too_deep([deepest, wide], len(wide))
    assert is_any_too_deep([deepest, deeper], len(deeper))
