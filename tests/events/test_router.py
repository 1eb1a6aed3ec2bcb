"""From events to sinks: to whom they are for, to nobody else, in one write for each batch."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.event import Event
from events.router import Filter, Lane, Router, from_event
from tests.events.fakes import Recorder, make_event, number
from tests.events.reference import decode_chunks, parse_stream

EPOCH = "aaaaaaaa"


def numbered(events: Iterable[Event]) -> list[Event]:
    return [number(event, EPOCH, seq) for seq, event in enumerate(events, 1)]


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
def lane(router: Router) -> Lane:
    """Plain frames, as they are."""
    return lane_of(router)


def lane_of(router: Router, *, named: bool = False, chunked: bool = False) -> Lane:
    return router.lanes[named, chunked]


def stream_of(lane: Lane, user: str | None = None, topic: str = "app", **more: Any) -> Recorder:
    sink = Recorder()
    from_event(lane, Filter.of(topic, user=user, **more), sink)
    return sink


def frames(events: Iterable[Event]) -> bytes:
    return b"".join(event.frame() for event in events)


# -- to whom ---------------------------------------------------------------------------------------


def test_event_for_a_user_reaches_that_user_alone(router: Router, lane: Lane) -> None:
    one, two, nobody = stream_of(lane, "1"), stream_of(lane, "2"), stream_of(lane)
    (event,) = numbered([make_event(["1"])])
    assert router.deliver([event]) == 1
    assert one.writes == [event.frame()]
    assert two.writes == nobody.writes == []


def test_event_for_everybody_reaches_every_stream_of_its_topic(router: Router, lane: Lane) -> None:
    sinks = [stream_of(lane, "1"), stream_of(lane, "2"), stream_of(lane)]
    other = stream_of(lane, "1", topic="client")
    (event,) = numbered([make_event()])
    assert router.deliver([event]) == 3
    assert [sink.writes for sink in sinks] == [[event.frame()]] * 3
    assert other.writes == []


def test_every_stream_of_a_user_gets_the_event(router: Router, lane: Lane) -> None:
    tabs = [stream_of(lane, "1") for _ in range(3)]
    (event,) = numbered([make_event(["1", "2"])])
    assert router.deliver([event]) == 3
    assert [tab.writes for tab in tabs] == [[event.frame()]] * 3


def test_filters_of_one_topic_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="twice"):
        Filter.of("app", user="1") | Filter.of("client", user="1") | Filter.of("app", user="2")


def test_filter_of_many_topics_takes_each_of_them_once(router: Router, lane: Lane) -> None:
    where = Filter.of("app", user="1") | Filter.of("client", user="1")
    sink = Recorder()
    from_event(lane, where, sink)
    assert where.user == "1"
    events = numbered(
        [make_event(["1"]), make_event(topic="client"), make_event(["2"]), make_event(["1"], topic="x")]
    )
    assert router.deliver(events) == 2
    assert sink.writes == [frames(events[:2])]


def test_deliver_to_nobody_reaches_nobody(router: Router) -> None:
    assert router.deliver(numbered([make_event()])) == 0


def test_sink_may_subscribe_twice_and_leave_once(router: Router, lane: Lane) -> None:
    sink = Recorder()
    app = from_event(lane, Filter.of("app", user="1"), sink)
    from_event(lane, Filter.of("client", user="1"), sink)
    app.close()
    events = numbered([make_event(["1"]), make_event(["1"], topic="client")])
    assert router.deliver(events) == 1
    assert sink.writes == [events[1].frame()]


# -- one write -------------------------------------------------------------------------------------


def test_batch_alike_is_one_write_in_order(router: Router, lane: Lane) -> None:
    one, two = stream_of(lane, "1"), stream_of(lane, "2")
    events = numbered(make_event(["1", "2"], data=b"%d" % n) for n in range(5))
    assert router.deliver(events) == 10
    assert one.writes == two.writes == [frames(events)]


def test_batch_for_many_is_one_write_each_in_order(router: Router, lane: Lane) -> None:
    one, two, three = (stream_of(lane, user) for user in "123")
    events = numbered(
        [
            make_event(["1"]),
            make_event(),
            make_event(["2"]),
            make_event(["1"]),
            make_event(["1", "2"]),
            make_event(["4"]),
        ]
    )
    assert router.deliver(events) == 8
    assert one.writes == [frames([events[0], events[1], events[3], events[4]])]
    assert two.writes == [frames([events[1], events[2], events[4]])]
    assert three.writes == [frames([events[1]])]


def test_chunked_lane_writes_one_chunk_for_a_batch(router: Router) -> None:
    sink = stream_of(lane_of(router, chunked=True), "1")
    events = numbered([make_event(["1"]), make_event(), make_event(["1"])])
    router.deliver(events)
    (written,) = sink.writes
    assert decode_chunks(written) == ([frames(events)], False)


def test_same_bytes_go_to_every_stream(router: Router, lane: Lane) -> None:
    """Framed once: not equal bytes, the same object."""
    sinks = [stream_of(lane) for _ in range(3)]
    router.deliver(numbered([make_event(), make_event()]))
    assert sinks[0].writes[0] is sinks[1].writes[0] is sinks[2].writes[0]


# -- lanes -----------------------------------------------------------------------------------------


def test_each_lane_frames_in_its_own_way(router: Router) -> None:
    sinks = {
        (named, chunked): stream_of(lane_of(router, named=named, chunked=chunked))
        for named in (True, False)
        for chunked in (True, False)
    }
    (event,) = numbered([make_event(name="tick")])
    assert router.deliver([event]) == 4
    for (named, chunked), sink in sinks.items():
        (written,) = sink.writes
        body = b"".join(decode_chunks(written)[0]) if chunked else written
        assert body == (event.named_frame() if named else event.frame())


def test_heartbeat_is_framed_as_the_lane_is(router: Router) -> None:
    assert lane_of(router, chunked=False).heartbeat == b": hb\n\n"
    assert decode_chunks(lane_of(router, chunked=True).heartbeat) == ([b": hb\n\n"], False)


def test_lane_joins_and_wraps_for_those_who_write_themselves(router: Router) -> None:
    events = numbered([make_event(), make_event(data=b"2")])
    assert lane_of(router).join(events) == frames(events)
    assert lane_of(router).join([]) == b""
    assert lane_of(router, named=True).join(events[:1]) == events[0].named_frame()
    assert decode_chunks(lane_of(router, chunked=True).wrap(b"x: y\n\n")) == ([b"x: y\n\n"], False)


# -- coming and going ------------------------------------------------------------------------------


def test_closed_subscription_gets_nothing_more(router: Router, lane: Lane) -> None:
    sink, other = Recorder(), stream_of(lane, "1")
    subscription = from_event(lane, Filter.of("app", user="1"), sink)
    subscription.close()
    subscription.close()
    assert router.deliver(numbered([make_event(["1"])])) == 1
    assert sink.writes == []
    assert len(other.writes) == 1


def test_has_knows_which_keys_are_taken(router: Router) -> None:
    (key,) = make_event(["1"]).keys
    assert not router.has(key)
    first = from_event(lane_of(router, named=True), Filter.of("app", user="1"), Recorder())
    second = from_event(lane_of(router), Filter.of("app", user="1"), Recorder())
    third = from_event(lane_of(router), Filter.of("app", user="1"), Recorder())
    assert router.has(key)
    first.close()
    second.close()
    assert router.has(key)
    third.close()
    assert not router.has(key)


@given(st.data())
def test_delivery_is_what_asking_every_stream_would_give(data: st.DataObject) -> None:
    """Random streams that come and go, random batches: the same as filtering for each stream."""
    router = Router()
    users = st.sampled_from(["1", "2", "3"])
    topics = st.sampled_from(["app", "client"])
    open_: list[tuple[Recorder, str, str | None, Any]] = []
    for _ in range(data.draw(st.integers(1, 12))):
        if open_ and data.draw(st.integers(0, 3)) == 0:
            open_.pop(data.draw(st.integers(0, len(open_) - 1)))[3].close()
            continue
        sink, topic, user = Recorder(), data.draw(topics), data.draw(st.none() | users)
        lane = lane_of(router, chunked=data.draw(st.booleans()))
        open_.append((sink, topic, user, from_event(lane, Filter.of(topic, user=user), sink)))
    audiences = st.none() | st.lists(users, min_size=1, max_size=3, unique=True)
    batch = [
        (audience, topic)
        for audience, topic in data.draw(st.lists(st.tuples(audiences, topics), min_size=1, max_size=8))
    ]
    events = numbered(make_event(audience, topic=topic) for audience, topic in batch)

    reached = router.deliver(events)

    expected = 0
    for sink, topic, user, _subscription in open_:
        its = [
            event
            for event, (audience, its_topic) in zip(events, batch, strict=True)
            if its_topic == topic and (audience is None or user in audience)
        ]
        expected += len(its)
        assert len(sink.writes) == bool(its)
        assert [m.last_event_id for m in parse_stream(unwrapped(sink)).messages] == [
            event.id for event in its
        ]
    assert reached == expected


def unwrapped(sink: Recorder) -> bytes:
    written = b"".join(sink.writes)
    return written if written[:3] in (b"", b"id:") else b"".join(decode_chunks(written)[0])


# -- what a delivery costs -------------------------------------------------------------------------


class CountedKey(str):
    """A routing key that counts how often any index hashes or compares it."""

    __slots__ = ()
    touched = 0

    def __hash__(self) -> int:
        CountedKey.touched += 1
        return str.__hash__(self)

    def __eq__(self, other: object) -> bool:
        CountedKey.touched += 1
        return str.__eq__(self, other)  # type: ignore[no-any-return]


class CountingSink(Recorder):
    """A sink that counts how often it is asked for anything: hashed, compared or written to."""

    touched = 0

    def write(self, data: bytes, /) -> None:
        CountingSink.touched += 1
        super().write(data)

    def __hash__(self) -> int:
        CountingSink.touched += 1
        return id(self)

    def __eq__(self, other: object) -> bool:
        CountingSink.touched += 1
        return self is other


def cost_of_a_push(others: int, batch: int) -> tuple[int, int]:
    """How often sinks, and keys, are touched by a push to one user while *others* are connected."""
    router = Router()
    lane = lane_of(router)
    for user in range(others):
        from_event(lane, counted(Filter.of("app", user=f"other{user}")), CountingSink())
    mine = CountingSink()
    from_event(lane, counted(Filter.of("app", user="me")), mine)
    events = numbered(make_event(["me"], data=b"%d" % n) for n in range(batch))
    CountedKey.touched = CountingSink.touched = 0
    assert router.deliver(events) == batch
    assert mine.writes == [frames(events)]
    return CountingSink.touched, CountedKey.touched


def counted(where: Filter) -> Filter:
    return Filter(tuple(map(CountedKey, where.keys)), where.user)


@pytest.mark.parametrize("batch", [1, 20])
def test_push_to_one_user_touches_that_user_alone_among_ten_thousand(batch: int) -> None:
    alone = cost_of_a_push(0, batch)
    assert cost_of_a_push(10_000, batch) == alone
    assert alone[0] == 1, "one sink, one write"


def test_mixed_batch_touches_those_it_is_for_alone() -> None:
    router = Router()
    lane = lane_of(router)
    sinks = [CountingSink() for _ in range(10_000)]
    for user, sink in enumerate(sinks):
        from_event(lane, Filter.of("app", user=str(user)), sink)
    events = numbered(make_event([str(user)]) for user in (7, 5_000, 7))
    CountingSink.touched = 0
    assert router.deliver(events) == 3
    assert [user for user, sink in enumerate(sinks) if sink.writes] == [7, 5_000]
    assert CountingSink.touched < 20


def test_leaving_touches_the_one_who_leaves() -> None:
    """Ten thousand streams of one key: a stream that leaves must not look through the others."""
    router = Router()
    lane = lane_of(router)
    subscriptions = [from_event(lane, Filter.of("app"), CountingSink()) for _ in range(10_000)]
    CountingSink.touched = 0
    subscriptions[5_000].close()
    assert CountingSink.touched < 20
    assert router.deliver(numbered([make_event()])) == 9_999
