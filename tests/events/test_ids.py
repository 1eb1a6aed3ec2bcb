"""The form of ids: one text for each, and nothing else is taken for one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_push.events import wire
from sse_push.events.ids import format_id, new_epoch, parse_id

epochs = st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=8, max_size=8)
numbers = st.integers(0, 2**63 - 1)


@given(epochs, numbers)
def test_id_is_read_back_as_written(epoch: str, seq: int) -> None:
    assert parse_id(format_id(epoch, seq)) == (epoch, seq)


@given(epochs, numbers)
def test_id_can_stand_in_a_frame_and_in_a_query(epoch: str, seq: int) -> None:
    text = format_id(epoch, seq)
    assert wire.is_field_safe(text)
    assert re.fullmatch(r"[a-z2-7]{8}-[0-9]+", text)


@given(st.one_of(st.text(max_size=40), st.from_regex(r"[a-z0-9]{7,9}-?[0-9]{0,22}\n?", fullmatch=True)))
def test_whatever_is_taken_for_an_id_has_one_form_only(text: str) -> None:
    found = parse_id(text)
    assert found is None or format_id(*found) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "1", "42", "-", "-1", "aaaaaaaa", "aaaaaaaa-", "aaaaaaaa--1", "aaaaaaaa-01", "aaaaaaaa-+1",
        "aaaaaaaa-1 ", " aaaaaaaa-1", "aaaaaaaa-1\n", "aaaaaaaa-1.0", "aaaaaaaa-1e3", "AAAAAAAA-1", "aaaaaaa-1",
        "aaaaaaaaa-1", "aaaaaaa1-1", "aaaaaaa8-1", "aaaaaaaa-\u0661", "aaaaaaaa-\uff11", "aaaaaaaa-1\x00",
        "aaaaaaaa-12345678901234567890", "null", "undefined", "k-1",
    ],
)  # fmt: skip
def test_what_was_never_given_is_no_id(text: str) -> None:
    assert parse_id(text) is None


def test_epoch_can_begin_an_id_and_differs_each_time() -> None:
    some = {new_epoch() for _ in range(100)}
    assert len(some) == 100
    assert all(parse_id(format_id(epoch, 1)) == (epoch, 1) for epoch in some)
