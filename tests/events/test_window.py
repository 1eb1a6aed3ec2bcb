"""The newest events in memory: found by key, in order, bounded in bytes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_push.events.event import Event
from sse_push.events.group import EventColumns, EventList
from sse_push.events.router import Filter
from sse_push.events.window import Window
from tests.events.fakes import make_event, number

EPOCH = "aaaaaaaa"
EVERYTHING = 2**62
MINE = Filter.of("app", user="1").keys
NOW = 1000.0
PLENTY = 2**30


def events_for(*audiences: list[str] | None, first: int = 1, **more: Any) -> EventList:
    return EventList(
        number(make_event(users, **more), EPOCH, seq) for seq, users in enumerate(audiences, first)
    )


def seqs(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


def test_read_gives_what_is_for_the_keys_in_order() -> None:
    window = Window(0)
    window.append(events_for(["1"], ["2"], None, ["1", "2"], ["3"], ["1"]), 0)
    events, whole = window.read(MINE, 0, NOW, PLENTY)
    assert (seqs(events), whole) == ([1, 3, 4, 6], True)
    events, whole = window.read(MINE[:1], 0, NOW, PLENTY)
    assert (seqs(events), whole) == ([3], True)


@pytest.mark.parametrize(("after", "rest"), [(0, [1, 3]), (1, [3]), (2, [3]), (3, []), (99, [])])
def test_read_begins_behind_the_cursor(after: int, rest: list[int]) -> None:
    window = Window(0)
    window.append(events_for(["1"], ["2"], None), 0)
    assert seqs(window.read(MINE, after, NOW, PLENTY)[0]) == rest


def test_read_of_a_key_nobody_used_is_empty_and_whole() -> None:
    window = Window(0)
    assert window.read(MINE, 0, NOW, PLENTY) == ([], True)
    window.append(events_for(["2"]), 0)
    assert window.read(MINE, 0, NOW, PLENTY) == ([], True)


def test_read_stops_when_its_bytes_are_full_and_goes_on_from_there() -> None:
    window = Window(0)
    window.append(events_for(*[["1"]] * 10), 0)
    size = len(number(make_event(["1"]), EPOCH, 1).frame())
    found: list[int] = []
    pages, whole = 0, False
    while not whole:
        events, whole = window.read(MINE, found[-1] if found else 0, NOW, 3 * size)
        found += seqs(events)
        pages += 1
        assert len(events) <= 4
    assert found == list(range(1, 11))
    assert pages >= 3


def test_read_gives_one_event_even_if_it_alone_is_too_large() -> None:
    window = Window(0)
    window.append(events_for(["1"], ["1"]), 0)
    events, whole = window.read(MINE, 0, NOW, 1)
    assert (seqs(events), whole) == ([1], False)


def test_read_leaves_out_what_has_outlived_its_ttl() -> None:
    window = Window(0)
    window.append(events_for(["1"], expires=NOW), 0)
    window.append(events_for(["1"], first=2, expires=NOW + 0.001), 0)
    window.append(events_for(["1"], first=3), 0)
    assert seqs(window.read(MINE, 0, NOW, PLENTY)[0]) == [2, 3]
    assert seqs(window.read(MINE, 0, NOW - 1, PLENTY)[0]) == [1, 2, 3]
    assert seqs(window.read(MINE, 0, NOW + 1, PLENTY)[0]) == [3]


def test_window_drops_the_oldest_when_full() -> None:
    window = Window(0, max_bytes=100_000)
    window.append(events_for(*[["1"]] * 10), EVERYTHING)
    assert window.start == 0
    for seq in range(11, 1000):
        window.append(events_for(["1"], first=seq), EVERYTHING)
    assert window.start > 0
    kept = window.read(MINE, window.start, NOW, PLENTY)[0]
    assert seqs(kept) == list(range(window.start + 1, 1000))
    assert 10 < len(kept) < 900


def test_window_keeps_over_its_bound_what_cannot_be_found_elsewhere() -> None:
    window = Window(0, max_bytes=1)
    window.append(events_for(*[["1"]] * 20), 0)
    assert window.start == 0
    assert seqs(window.read(MINE, 0, NOW, PLENTY)[0]) == list(range(1, 21))
    window.append(events_for(["1"], first=21), 15)
    assert window.start == 15
    window.append(events_for(["1"], first=22), 22)
    assert window.start == 22
    assert window.read(MINE, 22, NOW, PLENTY) == ([], True)


def batch_for(*users: str, first: int) -> EventColumns:
    batch = EventColumns("app", (), [*users], [b"1"] * len(users), NOW)
    batch.assign_ids(EPOCH, first)
    return batch


def test_batches_are_read_in_their_places_among_events() -> None:
    window = Window(0)
    window.append(events_for(["1"], ["2"]), 0)
    window.append(batch_for("1", "2", "1", first=3), 0)
    window.append(events_for(["1"], first=6), 0)
    assert seqs(window.read(MINE, 1, NOW, PLENTY)[0]) == [3, 5, 6]
    window.append(batch_for("2", "1", first=7), 0)
    assert seqs(window.read(MINE, 6, NOW, PLENTY)[0]) == [8]
    assert window.read(MINE, 8, NOW, PLENTY) == ([], True)
    assert window.lacks([5, 7, 9]) == [9]


def test_batch_is_dropped_up_to_what_can_be_found_elsewhere() -> None:
    window = Window(0, max_bytes=1)
    window.append(batch_for(*"1" * 4, first=1), 2)
    assert window.start == 2
    window.append(batch_for(*"1" * 4, first=5), 8)
    assert window.start == 8
    assert window.read(MINE, 8, NOW, PLENTY) == ([], True)


def test_window_of_a_store_with_a_past_begins_where_it_is_told() -> None:
    window = Window(100)
    window.append(events_for(["1"], ["2"], first=101), 0)
    assert window.start == 100
    assert seqs(window.read(MINE, 100, NOW, PLENTY)[0]) == [101]


@given(
    st.lists(st.none() | st.lists(st.sampled_from("123"), min_size=1, unique=True), max_size=60),
    st.integers(0, 30_000),
    st.data(),
)
def test_window_is_the_newest_of_all_events_and_no_more_than_its_bytes(
    audiences: list[list[str] | None], max_bytes: int, data: st.DataObject
) -> None:
    payload = b"[%b]" % (b"1" * 500)
    all_events = events_for(*audiences, data=payload)
    window = Window(0, max_bytes)
    indexed = given_ = 0
    while given_ < len(all_events):
        batch = all_events[given_ : given_ + data.draw(st.integers(1, 9))]
        given_ += len(batch)
        indexed = data.draw(st.integers(indexed, given_))
        users = [event.keys[0].partition("@")[2] for event in batch if len(event.keys) == 1]
        if len(users) == len(batch) and all(users) and data.draw(st.booleans()):
            columns = EventColumns("app", (), users, [payload] * len(batch), NOW)
            columns.assign_ids(EPOCH, batch[0].seq)
            window.append(columns, indexed)
        else:
            window.append(EventList(batch), indexed)

        kept = all_events[window.start : given_]
        assert window.start <= indexed
        # Over its bound only by what it must not drop.
        assert sum(len(event.data) for event in kept) <= max_bytes or window.start == indexed
        if data.draw(st.booleans()):
            continue  # nobody reads after this one
        after = data.draw(st.integers(window.start, given_))
        found, whole = window.read(MINE, after, NOW, PLENTY)
        assert whole
        assert seqs(found) == [e.seq for e in kept if e.seq > after and {*e.keys} & {*MINE}]
