"""The store by itself: packs, routes and chores that may be cut short at any step."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from sse_push.events.engines import packs
from sse_push.events.engines.embedded import store
from sse_push.events.engines.embedded.reader import HistoryReader
from sse_push.events.engines.embedded.sqlite_file import FORMAT
from sse_push.events.engines.embedded.store import Store
from sse_push.events.engines.packs import PACK_BYTES, PACK_EVENTS, pack, packs_of, unpack
from sse_push.events.event import Event
from sse_push.events.group import EventColumns, EventList
from sse_push.events.topics import Topic, user_keys
from tests.events.engines.embedded.place import copied, rows
from tests.events.engines.places import EVERYTHING, PLENTY, batch_of, keys_of, said
from tests.events.fakes import Clock

NOW = Clock().now
LIMITS = {"max_events": 10_000, "max_age": 1e6}
Open = Callable[..., Store]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Open]:
    """Opens the store of a directory; all are closed in the end."""
    stores: list[Store] = []

    def open_(directory: Path = tmp_path, **limits: float) -> Store:
        stores.append(Store(directory / "events.db", **{**LIMITS, **limits}))  # type: ignore[arg-type]
        return stores[-1]

    yield open_
    for each in stores:
        each.close()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACK_EVENTS", 4)
    monkeypatch.setattr(store, "PACK_EVENTS", 4)
    monkeypatch.setattr(store, "ROUTES_BEHIND_EVENTS", 10)
    monkeypatch.setattr(store, "_SLICE_ROWS", 8)
    monkeypatch.setattr(store, "_SWEEP_EVENTS", 8)


def read(directory: Path, its: Store, keys: tuple[str, ...] = EVERYTHING, after: int = 0) -> list[Event]:
    """All that has routes, through pages of five."""
    found: list[Event] = []
    after = max(after, its.floor)
    with closing(HistoryReader(directory / "events.db", its.epoch)) as reader:
        while after < its.indexed:
            page, after = reader.read(keys, after, its.indexed, NOW, 5, PLENTY)
            found += page
    return found


def seqs(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


@pytest.mark.parametrize(
    "name",
    ["plain", 'a"b', "back\\slash", "\\u0041", '"', '\\"', "$.x", "0", " ", "é", "\u2028", "😀"],
    ids=ascii,
)
def test_user_of_any_name_finds_what_is_theirs_on_disk(open_store: Open, tmp_path: Path, name: str) -> None:
    its, keys = open_store(), user_keys(Topic("app"), "app", name)
    its.append(EventList([*map(said, range(10)), Event("app", keys, b"1")]), NOW)
    for _ in its.chores(NOW):
        pass
    assert seqs(read(tmp_path, its, keys)) == [11]


field_texts = st.text(min_size=1, max_size=8)


@given(
    st.lists(
        st.tuples(field_texts, st.lists(field_texts, max_size=3), st.text(), st.none() | field_texts, st.none() | st.floats(0, 1e12)),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 2**62),
)  # fmt: skip
def test_pack_is_unpacked_as_it_was(
    said_: list[tuple[str, list[str], str, str | None, float | None]], first: int
) -> None:
    events = [
        Event(topic, tuple(keys), to_json(text), name=name, at=12.5, expires=expires)
        for topic, keys, text, name, expires in said_
    ]
    again = unpack("aaaaaaaa", first, pack(events))
    assert [(e.topic, e.keys, e.data, e.name, e.at, e.expires) for e in again] == [
        (e.topic, e.keys, e.data, e.name, e.at, e.expires) for e in events
    ]
    assert [(e.seq, e.id) for e in again] == [
        (first + n, f"aaaaaaaa-{first + n}") for n in range(len(events))
    ]


@given(
    st.lists(st.tuples(field_texts, st.integers(1, 20_000)), min_size=1, max_size=12), st.integers(1, 2**62)
)
def test_packs_of_a_batch_hold_its_events_and_no_more_than_a_row_takes(
    said_: list[tuple[str, int]], first: int
) -> None:
    data = [b"[%b]" % (b"1" * size) for _, size in said_]
    batch = EventColumns("app", ("app",), [user for user, _ in said_], data, 12.5)
    batch.assign_ids("aaaaaaaa", first)
    again: list[Event] = []
    for start, last, at, body in packs_of(batch, NOW):
        pack_ = unpack("aaaaaaaa", start, body)
        assert (at, len(pack_), pack_[-1].seq) == (NOW, last - start + 1, last)
        assert len(pack_) <= PACK_EVENTS
        assert sum(len(event.data) for event in pack_[:-1]) < PACK_BYTES
        again += pack_
    assert [(e.seq, e.id, e.topic, e.keys, e.data, e.at) for e in again] == [
        (e.seq, e.id, e.topic, e.keys, e.data, e.at) for e in batch
    ]


@pytest.mark.parametrize("lines", [b"", b"\n1", b"\n1\n2\n3"])
def test_pack_of_more_or_fewer_lines_than_users_is_none(lines: bytes) -> None:
    with pytest.raises(ValueError, match="as many lines"):
        unpack("aaaaaaaa", 1, b'{"at":1.0,"topic":"app","shared":[],"users":["1","2"]}' + lines)


def test_batch_finds_its_users_on_disk_among_other_events(open_store: Open, tmp_path: Path) -> None:
    its = open_store()
    kept: list[Event] = []
    for n in range(8):
        kept += its.append(batch_of(range(5), [str((n + k) % 3) for k in range(5)]), NOW)
        kept += its.append(EventList([said(n, ["1"]), said(n)]), NOW)
        list(its.chores(NOW))
    assert its.indexed >= 40
    for keys in (EVERYTHING, keys_of("0"), keys_of("1")):
        wanted = [event.seq for event in kept if {*event.keys} & {*keys} and event.seq <= its.indexed]
        assert seqs(read(tmp_path, its, keys)) == wanted


def test_append_gives_new_events_their_numbers_and_known_ones_the_first(open_store: Open) -> None:
    its = open_store()
    events = EventList([said("a", key="k"), said("b"), said("c", key="k")])
    assert its.append(events, NOW) == events[:2]
    assert seqs(events) == [1, 2, 1]
    assert [event.id for event in events] == [f"{its.epoch}-1", f"{its.epoch}-2", f"{its.epoch}-1"]
    assert its.head == 2


def test_append_that_fails_midway_leaves_nothing_behind(open_store: Open, tmp_path: Path) -> None:
    its = open_store()
    with pytest.raises(Exception, match=r"surrogates|utf-8"):
        its.append(EventList([said("a", key="k"), Event("\ud800", (), b"1")]), NOW)
    assert (its.head, rows(tmp_path, "packs"), rows(tmp_path, "published")) == (0, 0, 0)
    fresh = its.append(EventList([said("b", key="k")]), NOW)
    assert seqs(fresh) == [1]


def test_newest_gives_the_last_in_order_and_all_without_routes(open_store: Open, tmp_path: Path) -> None:
    its = open_store()
    its.append(EventList([said(n) for n in range(30)]), NOW)
    assert seqs(its.newest(5, PLENTY)) == list(range(1, 31)), "none has its routes"
    list(its.chores(NOW))
    assert its.indexed == 30
    its.append(EventList([said(n) for n in range(3)]), NOW)
    newest = seqs(its.newest(5, PLENTY))
    assert newest == list(range(newest[0], 34))
    assert 5 <= len(newest) <= 5 + PACK_EVENTS
    assert seqs(its.newest(1000, 1))[-3:] == [31, 32, 33]


def test_read_finds_each_key_s_own_on_disk(open_store: Open, tmp_path: Path) -> None:
    its = open_store()
    for n in range(40):
        its.append(EventList([said(n, ["1"]), said(n, ["2"]), said(n)]), NOW)
    list(its.chores(NOW))
    assert seqs(read(tmp_path, its)) == list(range(1, 121))
    assert seqs(read(tmp_path, its, keys_of("1"), after=60)) == [s for s in range(61, 121) if s % 3 in (0, 1)]
    assert read(tmp_path, its, keys_of("nobody")[1:]) == []


def test_read_page_is_bounded_in_bytes_and_leads_on(open_store: Open, tmp_path: Path) -> None:
    its = open_store()
    its.append(EventList([said(n) for n in range(20)]), NOW)
    list(its.chores(NOW))
    with closing(HistoryReader(tmp_path / "events.db", its.epoch)) as reader:
        page, upto = reader.read(EVERYTHING, 0, its.indexed, NOW, 1000, 1)
        assert (seqs(page), upto) == ([1], 1)
        page, upto = reader.read(EVERYTHING, 18, its.indexed, NOW, 1000, PLENTY)
        assert (seqs(page), upto) == ([19, 20], 20)


def test_read_leaves_out_what_has_outlived_its_ttl(open_store: Open, tmp_path: Path) -> None:
    its = open_store()
    its.append(EventList([said(n, expires=NOW if n % 2 else NOW + 1) for n in range(20)]), NOW)
    list(its.chores(NOW))
    assert seqs(read(tmp_path, its)) == list(range(1, 21, 2))


def _a_history(its: Store) -> None:
    for n in range(12):
        its.append(
            EventList([said((n, m), [str(m % 3)] if m % 2 else None, at=NOW + n) for m in range(5)]), NOW + n
        )
        if n == 5:
            list(its.chores(NOW + n))


def test_chores_may_be_killed_at_any_step(open_store: Open, tmp_path: Path) -> None:
    """A copy of the files at each step is a whole store; its own chores finish the work."""
    its = open_store(max_events=30)
    _a_history(its)
    chores = its.chores(NOW + 12)
    steps = 0
    while True:
        steps += 1
        directory = copied(tmp_path, tmp_path / f"killed{steps}")
        again = open_store(directory, max_events=30)
        assert (again.head, again.floor, again.epoch) == (60, 30, its.epoch)
        on_disk = seqs(read(directory, again))
        assert on_disk == list(range(31, again.indexed + 1))
        assert [s for s in seqs(again.newest(1, 1)) if s > max(30, again.indexed)] == list(
            range(max(30, again.indexed) + 1, 61)
        )
        again.append(EventList([said("more") for _ in range(10)]), NOW + 12)
        list(again.chores(NOW + 12))
        assert seqs(read(directory, again, EVERYTHING)) == list(range(41, 71))
        if next(chores, its) is its:
            break
    assert steps > 5, "it was never in the middle of something"


def test_chores_may_be_dropped_at_any_step(open_store: Open, tmp_path: Path) -> None:
    its = open_store(max_events=30)
    _a_history(its)
    for steps in range(1, 30):
        for _, _step in zip(range(steps), its.chores(NOW + 12), strict=False):
            pass
    list(its.chores(NOW + 12))
    assert seqs(read(tmp_path, its)) == list(range(31, 61))


def test_chores_forget_what_has_sunk_below_the_floor(open_store: Open, tmp_path: Path) -> None:
    its = open_store(max_events=10_000, max_age=100, key_age=50)
    its.append(EventList([said(n, [f"user{n}"], key=str(n)) for n in range(200)]), NOW)
    list(its.chores(NOW))
    assert rows(tmp_path, "published") == 200
    list(its.chores(NOW + 101))
    assert its.floor == its.head == 200
    for table in ("packs", "routes", "published"):
        assert rows(tmp_path, table) == 0, table


def test_chores_take_nothing_that_the_floor_did_not_already_cover(open_store: Open, tmp_path: Path) -> None:
    """Readers learn of the floor between two steps: what a step takes must have been below it before."""
    its = open_store(max_age=100)
    for n in range(20):
        its.append(EventList([said((n, m), at=NOW + n) for m in range(5)]), NOW + n)
    list(its.chores(NOW + 20))
    assert (its.floor, its.indexed) == (0, 100)
    chores = its.chores(NOW + 110)
    while True:
        floor = its.floor
        ended = next(chores, its) is its
        with closing(HistoryReader(tmp_path / "events.db", its.epoch)) as reader:
            page, upto = reader.read(EVERYTHING, floor, 100, NOW, 1000, PLENTY)
        assert (seqs(page), upto) == (list(range(floor + 1, 101)), 100)
        if ended:
            break
    assert its.floor == 50
    assert rows(tmp_path, "packs") < 40


def test_chores_leave_alone_what_is_young(open_store: Open, tmp_path: Path) -> None:
    its = open_store(max_age=100, key_age=50)
    its.append(EventList([said(n, key=str(n)) for n in range(20)]), NOW)
    list(its.chores(NOW + 49))
    assert its.floor == 0
    assert rows(tmp_path, "published") == 20
    assert seqs(read(tmp_path, its)) == list(range(1, 21))


def test_checkpoint_keeps_the_log_from_growing_for_ever(
    open_store: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_CHECKPOINT_BYTES", 50_000)
    its = open_store(max_events=100)

    def log_after(events: int) -> int:
        for _ in range(events):
            its.append(EventList([said("x" * 2000)]), NOW)
            if its.chores_due:
                list(its.chores(NOW))
        return (tmp_path / "events.db-wal").stat().st_size

    early = log_after(1500)  # sweeps have begun by then
    assert log_after(1500) < 1.5 * early


def test_clock_that_was_set_back_does_not_age_what_came_before(open_store: Open) -> None:
    its = open_store(max_age=1000)
    its.append(EventList([said("before")]), NOW)
    its.append(EventList([said("while it was wrong")]), NOW - 5000)
    list(its.chores(NOW + 1))
    assert its.floor == 0


def test_clock_that_ran_ahead_between_two_starts_keeps_keys_and_events_no_longer_than_due(
    open_store: Open,
) -> None:
    ahead = NOW + 86_400
    its = open_store(max_age=1000, key_age=100)
    its.append(EventList([said("a", key="k")]), ahead)
    its.append(EventList([said("right again", key="other")]), NOW)
    its = open_store(max_age=1000, key_age=100)
    assert its.append(EventList([said("retried", key="k")]), NOW + 99) == []
    its = open_store(max_age=1000, key_age=100)
    list(its.chores(NOW + 101))
    assert [event.seq for event in its.append(EventList([said("new", key="k")]), NOW + 101)] == [3]
    list(its.chores(NOW + 1001))
    assert its.floor == 2


def test_clock_that_ran_ahead_leaves_no_keys_behind(open_store: Open, tmp_path: Path) -> None:
    its = open_store(key_age=100)
    its.append(EventList([said(n, key=str(n)) for n in range(20)]), NOW + 86_400)
    list(its.chores(NOW))
    list(its.chores(NOW + 99))
    assert rows(tmp_path, "published") == 20
    list(its.chores(NOW + 101))
    assert rows(tmp_path, "published") == 0


def test_keys_of_a_file_without_fingerprints_are_known_and_compared_with_nothing(
    open_store: Open, tmp_path: Path
) -> None:
    its = open_store()
    its.append(EventList([said("a", key="k", fingerprint="one")]), NOW)
    its._file.execute("ALTER TABLE published DROP COLUMN fingerprint")
    its._file.execute("ALTER TABLE published DROP COLUMN checksum")
    its._file.execute("UPDATE meta SET value = '3' WHERE name = 'format'")
    again = open_store()
    other = said("b", key="k", fingerprint="another")
    assert again.reused([EventList([other])], NOW) == {}
    assert again.append(EventList([other]), NOW) == []
    assert other.seq == 1


def test_file_of_another_version_is_refused(open_store: Open, tmp_path: Path) -> None:
    its = open_store()
    for version in ("1", "next"):
        its._file.execute("UPDATE meta SET value = ? WHERE name = 'format'", (version,))
        (tmp_path / "events.head").unlink(missing_ok=True)
        with pytest.raises(sqlite3.DatabaseError, match="another version"):
            open_store()


def test_file_that_knew_no_batches_is_taken_over(open_store: Open) -> None:
    its = open_store()
    its.append(EventList([said("before")]), NOW)
    its._file.execute("UPDATE meta SET value = '2' WHERE name = 'format'")
    again = open_store()
    again.append(batch_of(["after"], ["1"]), NOW)
    assert [event.data for event in again.newest(9, PLENTY)] == [b'{"n":"before"}', b'{"n":"after"}']
    assert its._file.meta("format") == FORMAT, "whoever knows no batches must not read it now"


def test_log_is_put_away_when_nothing_happens(open_store: Open, tmp_path: Path) -> None:
    """The pages of a few commits must not stay in the log until the next sixteen megabytes."""
    its = open_store()
    its.append(EventList([said("once")]), NOW)
    log = tmp_path / "events.db-wal"
    for _ in range(2):  # the second look finds that nothing came since the first
        list(its.chores(NOW))
    size = log.stat().st_size
    for _ in range(20):
        its.append(EventList([said("again")]), NOW)
        for _ in range(2):
            list(its.chores(NOW))
    assert log.stat().st_size <= max(size, 100_000)
