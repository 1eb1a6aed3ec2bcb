"""Events of bodies read with care: every fault with its place, and the same verdict as the fast reader gives."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_push.events.errors import BadEvent
from sse_push.events.event import encode
from sse_push.events.faults import MAX_FAULTS, described, together
from sse_push.events.json_text import HALF_PAIR, TOO_DEEP, NotJson
from sse_push.events.plain import read_plain
from sse_push.events.push_body import is_list, read_models, read_pushes
from sse_push.events.topics import Topic

DEEP = "[" * 100 + "]" * 100
# Pieces of bodies that are JSON, or nearly.
piece = st.sampled_from(
    ["{", "}", "[", "]", ",", ":", '"', "\\", '"data":', '"userId":', '"1"', "1", "1e999", "-0", "1.10", "NaN", "null", "true",
     "\\ud83d", "\\ude00", "\\u0000", "\x00", "\ufeff", " ", "\n", "é", '{"userId":"1","data":', '"broadcast":true', DEEP, "9" * 20, "9" * 5000]
)  # fmt: skip


def outcomes(body: bytes) -> list[Any]:
    """What becomes of the events of *body*: data and keys of each, or that it is refused."""
    topic = Topic("app")
    try:
        pushes, faults = read_models(body, 1000)
    except NotJson:
        return ["no JSON"]
    if faults:
        return ["refused"]
    found: list[Any] = []
    for push in pushes:
        assert push is not None
        try:
            event = encode(push, "app", topic, 1.0, 2**16)
            found.append((event.data, event.keys))
        except BadEvent as error:
            found.append(error.detail)
    return found


@given(st.lists(piece, max_size=9).map("".join), st.booleans())
@example('{"userId":"1","data":"\\ud83d"}', True)
@example('{"userId":"1","data":1,"data":1.10}', True)
@example('{"userId":"1","data":1}x', False)
@example('{"userId":"1","data":%s}' % DEEP, True)
def test_fast_reader_takes_nothing_that_is_refused_with_care_and_makes_the_same_of_it(
    text: str, in_list: bool
) -> None:
    body = (f"[{text}]" if in_list else text).encode()
    plain = read_plain(body, is_list=is_list(body))
    if not plain:
        return
    found: list[Any] = []
    for push in plain:
        try:
            event = encode(push, "app", Topic("app"), 1.0, 2**16)
            found.append((event.data, event.keys))
        except BadEvent as error:
            found.append(error.detail)
    careful = outcomes(body)
    if careful == ["refused"]:  # the careful reader sees the depth before the event is encoded
        assert f"data is {TOO_DEEP}" in found
    else:
        assert careful == found


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ("1", ["an event is an object"]),
        ("{}", ["data: Field required"]),
        ('{"data":"\\ud83d","broadcast":true}', [HALF_PAIR]),
        ('{"data":1,"userId":"\\ud83d"}', [HALF_PAIR]),
        ('{"data":1,"broadcast":true,"key":"\\ude00"}', [HALF_PAIR]),
        ('{"data":1,"broadcast":true,"event":"\\ud83d\\ud83d\\ude00"}', [HALF_PAIR]),
        ('{"data":{"\\ud83d":1},"broadcast":true}', [HALF_PAIR]),
        (f'{{"data":{DEEP},"broadcast":true}}', [TOO_DEEP]),
        (f'{{"data":["\\ud83d",{DEEP}],"ttl":0}}', [HALF_PAIR, TOO_DEEP, "ttl: Input should be greater than 0"]),
        ('{"data":1,"what":1,"key":""}', ["key: String should have at least 1 character", "what: there is no such field"]),
    ],
)  # fmt: skip
def test_every_fault_is_told_with_its_place(body: str, details: list[str]) -> None:
    good = '{"data":1,"broadcast":true}'
    pushes, faults = read_models(f"[{good},{body},{good},{body}]".encode(), 4)

    assert [push is None for push in pushes] == [False, True, False, True]
    assert [(fault.index, fault.detail) for fault in faults] == [
        (index, detail) for index in (1, 3) for detail in details
    ]


@pytest.mark.parametrize(
    "body", [b"[]", b"[1,2,3]", json.dumps([{"data": 1, "broadcast": True}] * 3).encode()]
)
def test_list_of_none_or_of_too_many_is_refused_as_a_whole(body: bytes) -> None:
    pushes, [fault] = read_pushes(body, 2)

    assert (pushes, fault.index) == ([], 0)
    assert "from 1 to 2" in fault.detail


@pytest.mark.parametrize(
    "body", [b'\xef\xbb\xbf{"data":1,"broadcast":true}', b'\xef\xbb\xbf [{"data":1,"broadcast":true}]']
)
def test_byte_order_mark_is_passed_over(body: bytes) -> None:
    [push], faults = read_pushes(body, 1)

    assert push is not None and not faults


def test_faults_of_a_list_are_told_in_its_order_and_no_more_than_a_hundred() -> None:
    error = together(BadEvent(str(index), index) for index in reversed(range(500)))

    assert [fault.index for fault in [error, *error.others]] == [*range(MAX_FAULTS)]
    assert described([BadEvent("a"), BadEvent("b", 3)], of_list=True) == "0: a; 3: b"
    assert described([BadEvent("a"), BadEvent("b", 3)]) == "a; b"


def test_list_is_read_no_further_than_its_faults_are_named() -> None:
    bad, worse = {"data": 1, "userIds": ["\n"] * 60}, {"what": 1}
    good = {"data": 1, "broadcast": True}

    pushes, faults = read_models(json.dumps([good, bad, bad, worse, good]).encode(), 5)

    assert {fault.index for fault in faults} == {1, 2}
    assert [push is None for push in pushes] == [False, True, True, True, True]
