"""What every engine promises (the numbers are those of events/engines/base.py), as tests.

An engine's own test module subclasses ``EngineContract`` and gives it the fixture ``new_place``. It is
told nothing of how the engine keeps events; limits made small there make it do all that it does.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from sse_push.events.errors import EngineUnavailable, KeyReused
from sse_push.events.event import Event
from sse_push.events.group import EventColumns, EventGroup, EventList
from sse_push.events.ids import format_id, parse_id
from tests.events.engines.places import (
    EVERYTHING,
    Life,
    Place,
    batch_of,
    ids,
    keys_of,
    said,
    said_of,
    seqs,
)
from tests.events.engines.story import USERS, Story
from tests.events.fakes import turns, until


class EngineContract:
    @pytest.fixture
    def new_place(self) -> Callable[[], Place]:
        raise NotImplementedError("an engine's tests say where it keeps its events")

    @pytest.fixture
    async def place(self, new_place: Callable[[], Place]) -> AsyncIterator[Place]:
        place = new_place()
        yield place
        await place.clean()

    # -- 1. order ----------------------------------------------------------------------------------

    async def test_every_event_gets_a_number_above_all_before_it(self, place: Place) -> None:
        life = await place.open()
        receipts = [life.append(said(n, [USERS[n % 3]]), said(n + 0.5)) for n in range(50)]
        given_ = [id_ for receipt in receipts for id_ in await life.answer(receipt)]
        numbers = [found[1] for id_ in given_ if (found := parse_id(id_)) and found[0] == life.engine.epoch]
        assert len(numbers) == 100
        assert numbers == sorted(set(numbers))
        assert ids(life.told) == given_
        assert life.engine.head == numbers[-1]

    async def test_event_is_told_with_the_id_its_receipt_has(self, place: Place) -> None:
        life = await place.open()
        (id_,) = await life.keep(said("x", ["1"]))
        (event,) = life.told
        assert event.id == id_ == format_id(life.engine.epoch, event.seq)
        assert event.frame() == b'id: %b\ndata: {"n":"x"}\n\n' % id_.encode()

    async def test_appends_are_kept_in_the_order_of_their_calls(self, place: Place) -> None:
        life = await place.open()
        receipts = []
        for n in range(30):
            receipts.append(life.append(said(n)))
            await turns(n % 3)
        for receipt in receipts:
            await life.answer(receipt)
        assert said_of(life.told) == said_of([said(n) for n in range(30)])

    async def test_append_from_within_kept_comes_next(self, place: Place) -> None:
        life = await place.open()
        answers: list[asyncio.Future[list[str]]] = []

        def answer(events: list[Event]) -> None:
            if not answers:
                answers.append(life.append(said("answer")))

        life.on_told = answer
        await life.keep(said("question"))
        await life.answer(answers[0])
        assert said_of(life.told) == said_of([said("question"), said("answer")])

    @pytest.mark.parametrize("end", ["close", "crash"])
    async def test_head_and_numbers_go_on_after_a_restart(self, place: Place, end: str) -> None:
        last, epoch = 0, None
        for round_ in range(4):
            life = await place.open()
            assert life.engine.head == last
            assert epoch in (None, life.engine.epoch)
            if round_ != 2:  # a life in which nothing happens
                await life.keep(said(round_), said("more"))
                assert life.told[0].seq > last
            last, epoch = life.engine.head, life.engine.epoch
            await end_of(place, life, end)

    async def test_numbers_go_on_when_everything_kept_has_grown_too_old(self, place: Place) -> None:
        life = await place.open(max_age=100)
        await life.keep(*(said(n) for n in range(40)))
        place.clock.now += 200
        await until(lambda: life.engine.floor == life.engine.head)
        head = life.engine.head
        await place.close(life)
        again = await place.open(max_age=100)
        assert (again.engine.head, again.engine.floor) == (head, head)
        await again.keep(said("new"))
        assert again.told[0].seq > head

    # -- 2. kept, then told ------------------------------------------------------------------------

    async def test_event_that_is_told_survives_being_killed_at_that_instant(self, place: Place) -> None:
        life = await place.open()
        await life.keep(said("before"))
        life.on_told = lambda events: place.crash(life)
        life.append(said("a", ["1"]), said("b"))
        await until(lambda: len(life.told) == 3)
        again = await place.open()
        assert said_of(await again.replay()) == said_of([said("before"), said("a"), said("b")])
        assert again.engine.head == life.told[-1].seq

    async def test_event_comes_back_as_it_was(self, place: Place) -> None:
        life = await place.open()
        events = [
            said("x", ["1", "2"], name="tick", expires=place.clock.now + 50),
            Event(
                "chat:général\u2028",
                ("chat:général\u2028\x1f*", "app"),
                '"\\n\\t\u2028é"'.encode(),
                at=place.clock.now,
            ),
            Event("app", ("app",), b"[1,2.5,null]", name="ü :\t x", at=place.clock.now),
        ]
        frames = [(e.topic, e.keys, e.data, e.name, e.expires) for e in events]
        await life.keep(*events)
        told = [(event.id, event.frame(), event.named_frame()) for event in life.told]
        place.crash(life)
        again = await place.open()
        found = await again.replay(EVERYTHING)
        assert [(e.topic, e.keys, e.data, e.name, e.expires) for e in found] == frames
        assert [(event.id, event.frame(), event.named_frame()) for event in found] == told

    @pytest.mark.parametrize("beside", ["nothing", "batch", "events", "topic"])
    async def test_batch_is_kept_and_comes_back_as_its_events(self, place: Place, beside: str) -> None:
        """Whatever is appended in the same turn: the engine may keep them as one, or apart."""
        life = await place.open()
        batch = batch_of(range(9), [str(n % 3) for n in range(9)])
        others: dict[str, EventGroup] = {
            "batch": batch_of(["b", "c"], ["1", "2"]),
            "events": EventList([said("a", ["1", "2"]), said("b")]),
            "topic": EventColumns("client", ("app",), ["1"], [b"1"], batch.at),
        }
        receipts = [life.append_all(batch), *(life.append_all(its) for its in [others.get(beside)] if its)]
        given_ = [id_ for receipt in receipts for id_ in await life.answer(receipt)]
        events = [*batch, *others.get(beside, [])]
        assert (ids(life.told), said_of(life.told)) == (given_, said_of(events))
        assert ids(await life.replay(keys_of("1"))) == [
            e.id for e in life.told if {*e.keys} & {*keys_of("1")}
        ]
        place.crash(life)
        again = await place.open()
        found = await again.replay()
        assert [(e.id, e.topic, e.keys, e.data, e.name, e.at) for e in found] == [
            (id_, e.topic, e.keys, e.data, None, e.at) for id_, e in zip(given_, events, strict=True)
        ]

    async def test_outage_is_answered_with_an_error_and_nothing_is_told(self, place: Place) -> None:
        life = await place.open()
        await life.keep(said("before"))
        with capture_logs() as logs, place.outage(life):
            receipts = [life.append(said(n, key=f"k{n}"), said("more")) for n in range(3)]
            for receipt in receipts:
                with pytest.raises(EngineUnavailable):
                    await receipt
            with pytest.raises(EngineUnavailable):
                await life.engine.check()
            life.engine.append(EventList([said("without a receipt")]))
            await until(lambda: any(line["event"] == "event.lost" for line in logs))
        assert said_of(life.told) == said_of([said("before")])
        assert life.engine.head == life.told[0].seq
        assert said_of(await life.replay()) == said_of([said("before")])

    async def test_outage_passes_and_leaves_neither_hole_nor_key_behind(self, place: Place) -> None:
        life = await place.open()
        with capture_logs(), place.outage(life), pytest.raises(EngineUnavailable):
            await life.keep(said("lost", key="k"))
        with capture_logs():
            await life.engine.check()
            (id_,) = await life.keep(said("again", key="k"))
        await life.keep(said("after"))
        await life.engine.check()
        assert life.told[0].id == id_
        assert said_of(life.told) == said_of([said("again"), said("after")])
        place.crash(life)
        again = await place.open()
        assert ids(await again.replay()) == ids(life.told)

    async def test_check_is_content_with_an_engine_that_works(self, place: Place) -> None:
        life = await place.open()
        await life.engine.check()
        await life.keep(said(1))
        await life.engine.check()

    async def test_receipt_that_nobody_waits_for_any_more_stops_nothing(self, place: Place) -> None:
        life = await place.open()
        gone = life.append(said("gone"))
        gone.cancel()
        await life.keep(said("next"))
        assert said_of(life.told) == said_of([said("gone"), said("next")])

    async def test_close_keeps_what_waits(self, place: Place) -> None:
        life = await place.open()
        receipts = [life.append(said(n)) for n in range(20)]
        await place.close(life)
        assert [len(receipt.result()) for receipt in receipts] == [1] * 20
        assert len(life.told) == 20
        again = await place.open()
        assert ids(await again.replay()) == [receipt.result()[0] for receipt in receipts]

    # -- 3. groups ---------------------------------------------------------------------------------

    async def test_group_is_kept_together_in_its_order(self, place: Place) -> None:
        life = await place.open()
        first, second = life.append(*map(said, range(100))), life.append(*map(said, range(100, 200)))
        assert ids(life.told) == []
        assert await life.answer(first) + await life.answer(second) == ids(life.told)
        assert said_of(life.told) == said_of([said(n) for n in range(200)])

    async def test_group_that_cannot_be_kept_whole_is_not_kept_at_all(self, place: Place) -> None:
        life = await place.open()
        with capture_logs(), place.outage(life), pytest.raises(EngineUnavailable):
            await life.keep(*map(said, range(500)))
        assert life.told == []
        place.crash(life)
        again = await place.open()
        assert await again.replay() == []

    async def test_empty_group_is_answered_and_told_to_nobody(self, place: Place) -> None:
        life = await place.open()
        assert await life.keep() == []
        assert life.told == []

    # -- 4. idempotency keys -----------------------------------------------------------------------

    async def test_key_in_the_same_group_is_kept_once(self, place: Place) -> None:
        life = await place.open()
        given_ = await life.keep(said("a", key="k"), said("b"), said("c", key="k"), said("d", key="other"))
        assert given_[0] == given_[2]
        assert said_of(life.told) == said_of([said("a"), said("b"), said("d")])
        assert [given_[0], given_[1], given_[3]] == ids(life.told)

    async def test_key_in_the_same_turn_is_kept_once(self, place: Place) -> None:
        life = await place.open()
        receipts = [life.append(said(n, key="k")) for n in range(5)]
        answers = {tuple(await life.answer(receipt)) for receipt in receipts}
        assert len(answers) == 1
        assert said_of(life.told) == said_of([said(0)])

    async def test_key_seen_before_is_answered_with_the_first_id_and_not_told(self, place: Place) -> None:
        life = await place.open()
        first = await life.keep(said("a", key="k"))
        await life.keep(said("b"))
        assert await life.keep(said("c", key="k")) == first
        assert said_of(life.told) == said_of([said("a"), said("b")])
        head = life.engine.head
        given_ = await life.keep(said("d"), said("e", key="k"), said("f"))
        assert given_[1] == first[0]
        assert [given_[0], given_[2]] == ids(life.told[2:])
        assert life.engine.head > head

    @pytest.mark.parametrize("end", ["close", "crash"])
    async def test_key_is_known_in_the_next_life(self, place: Place, end: str) -> None:
        life = await place.open()
        first = await life.keep(said("a", key="k"))
        await end_of(place, life, end)
        again = await place.open()
        assert await again.keep(said("b", key="k")) == first
        assert again.told == []

    async def test_key_is_forgotten_when_its_time_is_over(self, place: Place) -> None:
        life = await place.open(key_age=100)
        first = await life.keep(said("a", key="k"))
        place.clock.now += 99
        assert await life.keep(said("b", key="k")) == first
        place.clock.now += 2
        second = await life.keep(said("c", key="k"))
        assert second != first
        assert await life.keep(said("d", key="k")) == second
        assert said_of(life.told) == said_of([said("a"), said("c")])

    async def test_key_outlives_the_event_it_stands_for(self, place: Place) -> None:
        life = await place.open(max_events=2)
        first = await life.keep(said("a", key="k"))
        await life.keep(*map(said, range(50)))
        assert await life.keep(said("b", key="k")) == first

    async def test_key_used_for_something_else_refuses_its_own_append_only(self, place: Place) -> None:
        life = await place.open()
        (first,) = await life.keep(said("a", key="k", fingerprint="one"))
        good, bad, retry = (
            life.append(said("b", key="j", fingerprint="two")),
            life.append(
                said("c"), said("d", key="k", fingerprint="other"), said("e", key="j", fingerprint="one")
            ),
            life.append(said("f", key="j", fingerprint="two"), said("a", key="k", fingerprint="one")),
        )
        with pytest.raises(KeyReused) as refused:
            await bad
        assert [fault.index for fault in (refused.value, *refused.value.others)] == [1, 2]
        assert await life.answer(retry) == [*await life.answer(good), first]
        assert said_of(life.told) == said_of([said("a"), said("b")])
        await life.engine.check()
        assert life.engine.failing is None

    async def test_key_with_two_meanings_in_one_append_refuses_it(self, place: Place) -> None:
        life = await place.open()
        with pytest.raises(KeyReused) as refused:
            await life.keep(
                said("a", key="k", fingerprint="one"), said("b"), said("c", key="k", fingerprint="two")
            )
        assert refused.value.index == 2
        (id_,) = await life.keep(said("d", key="k", fingerprint="two"))
        assert ids(life.told) == [id_], "a key of what was refused is free"

    async def test_key_without_a_fingerprint_is_compared_with_nothing(self, place: Place) -> None:
        life = await place.open()
        first = await life.keep(said("a", key="k"))
        assert await life.keep(said("b", key="k", fingerprint="one")) == first
        second = await life.keep(said("c", key="j", fingerprint="one"))
        assert await life.keep(said("d", key="j")) == second

    @pytest.mark.parametrize("end", ["close", "crash"])
    async def test_what_a_key_was_used_for_is_known_in_the_next_life(self, place: Place, end: str) -> None:
        life = await place.open()
        first = await life.keep(said("a", key="k", fingerprint="one"))
        await end_of(place, life, end)
        again = await place.open()
        with pytest.raises(KeyReused):
            await again.keep(said("b", key="k", fingerprint="two"))
        assert await again.keep(said("a", key="k", fingerprint="one")) == first

    # -- 5. window ---------------------------------------------------------------------------------

    async def test_window_and_read_give_each_stream_its_own_and_no_more(self, place: Place) -> None:
        life = await place.open()
        for n in range(300):
            life.append(said(n, None if n % 10 == 0 else [USERS[n % 3]]))
        await life.keep(said("last", ["1"]))
        for user in USERS:
            wanted = [e for e in life.told if {*e.keys} & {*keys_of(user)}]
            assert ids(await life.replay(keys_of(user))) == ids(wanted)
        assert await life.replay(keys_of("1"), after=life.engine.head) == []

    @pytest.mark.parametrize("seed", range(12))
    async def test_nothing_is_lost_or_repeated_whatever_happens(self, place: Place, seed: int) -> None:
        with capture_logs():
            await Story(place, random.Random(seed)).run()

    # -- 6. floor ----------------------------------------------------------------------------------

    async def test_floor_rises_with_the_number_of_events(self, place: Place) -> None:
        life = await place.open(max_events=50)
        for n in range(50):
            await life.keep(said(n))
        assert life.engine.floor == 0
        for n in range(50, 120):
            await life.keep(said(n))
            assert life.engine.head - life.engine.floor == 50
        assert seqs(await life.replay()) == seqs(life.told[-50:])

    @pytest.mark.parametrize("end", ["close", "crash"])
    async def test_floor_by_number_stays_up_after_a_restart(self, place: Place, end: str) -> None:
        life = await place.open(max_events=50)
        await life.keep(*map(said, range(120)))
        floor = life.engine.floor
        await end_of(place, life, end)
        again = await place.open(max_events=50)
        assert again.engine.floor == floor
        assert seqs(await again.replay()) == seqs(life.told[-50:])

    async def test_floor_rises_with_age(self, place: Place) -> None:
        life = await place.open(max_age=100)
        for n in range(10):
            await life.keep(*(said((n, m), at=place.clock.now) for m in range(10)))
            place.clock.now += 10
        # Now the first are exactly 100 old, the last 10.
        place.clock.now += 41
        wanted = [event for event in life.told if event.at >= place.clock.now - 100]
        assert 0 < len(wanted) < 100
        await until(lambda: life.engine.floor == wanted[0].seq - 1)
        assert seqs(await life.replay()) == seqs(wanted)
        place.clock.now += 100
        await until(lambda: life.engine.floor == life.engine.head)
        assert await life.replay() == []

    async def test_floor_has_risen_before_anything_below_it_is_gone(self, place: Place) -> None:
        """A reader must never find a hole that ``floor`` does not explain."""
        life = await place.open(max_age=100)
        for n in range(100):
            await life.keep(*(said((n, m), at=place.clock.now) for m in range(16)))
        place.crash(life)  # so that most of it has to be read, not remembered
        life = await place.open(max_age=100)
        place.clock.now += 50
        for n in range(20):
            await life.keep(*(said((n, m), at=place.clock.now) for m in range(16)))
        last_old = life.told[0].seq - 1
        place.clock.now += 60

        rounds = 0
        while life.engine.floor < last_old or rounds < 20:
            rounds += life.engine.floor >= last_old
            after = life.engine.floor
            events, upto = await life.engine.read(EVERYTHING, after, 2**30)
            floor = life.engine.floor
            assert [s for s in seqs(events) if s > floor] == list(range(max(after, floor) + 1, upto + 1))
            await asyncio.sleep(0)
        assert life.engine.floor == last_old

    async def test_floor_never_falls_within_a_life(self, place: Place) -> None:
        life = await place.open(max_events=50, max_age=100)
        floors = [life.engine.floor]
        for n in range(40):
            await life.keep(*(said((n, m), at=place.clock.now) for m in range(n % 7)))
            place.clock.now += 7
            await turns(2)
            floors.append(life.engine.floor)
        assert floors == sorted(floors)
        assert floors[-1] > 0

    # -- 7. epoch ----------------------------------------------------------------------------------

    async def test_epoch_is_the_store_s_for_life(self, place: Place) -> None:
        life = await place.open()
        epoch = life.engine.epoch
        assert parse_id(format_id(epoch, 1)) == (epoch, 1)
        for end in ("close", "crash", "close"):
            await life.keep(said(1))
            await end_of(place, life, end)
            life = await place.open()
            assert life.engine.epoch == epoch

    async def test_epoch_of_a_store_that_was_lost_is_not_given_again(self, place: Place) -> None:
        life = await place.open()
        await life.keep(said(1))
        await place.close(life)
        place.lose()
        again = await place.open()
        assert again.engine.epoch != life.engine.epoch
        assert await again.replay() == []

    async def test_epochs_of_two_stores_differ(self, new_place: Callable[[], Place]) -> None:
        here, there = new_place(), new_place()
        epochs = {(await here.open()).engine.epoch, (await there.open()).engine.epoch}
        await here.clean()
        await there.clean()
        assert len(epochs) == 2


async def end_of(place: Place, life: Life, how: str) -> None:
    if how == "close":
        await place.close(life)
    else:
        place.crash(life)
