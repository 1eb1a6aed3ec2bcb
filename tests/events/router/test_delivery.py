"""From events to sinks: to whom they are for, to nobody else, whoever comes and goes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_push.events.group import EventColumns, EventList
from sse_push.events.router import EncodingGroup, Filter, Router, from_event
from tests.events.fakes import Recorder, make_event
from tests.events.reference import decode_chunks, parse_stream
from tests.events.router.listening import encoding_of, frames, numbered, stream_of


def test_event_for_a_user_reaches_that_user_alone(router: Router, encoding: EncodingGroup) -> None:
    one, two, nobody = stream_of(encoding, "1"), stream_of(encoding, "2"), stream_of(encoding)
    (event,) = numbered([make_event(["1"])])
    assert router.deliver(EventList([event])) == 1
    assert one.writes == [event.frame()]
    assert two.writes == nobody.writes == []


def test_event_for_everybody_reaches_every_stream_of_its_topic(
    router: Router, encoding: EncodingGroup
) -> None:
    sinks = [stream_of(encoding, "1"), stream_of(encoding, "2"), stream_of(encoding)]
    other = stream_of(encoding, "1", topic="client")
    (event,) = numbered([make_event()])
    assert router.deliver(EventList([event])) == 3
    assert [sink.writes for sink in sinks] == [[event.frame()]] * 3
    assert other.writes == []


def test_every_stream_of_a_user_gets_the_event(router: Router, encoding: EncodingGroup) -> None:
    tabs = [stream_of(encoding, "1") for _ in range(3)]
    (event,) = numbered([make_event(["1", "2"])])
    assert router.deliver(EventList([event])) == 3
    assert [tab.writes for tab in tabs] == [[event.frame()]] * 3


def test_filters_of_one_topic_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="twice"):
        Filter.of("app", user="1") | Filter.of("client", user="1") | Filter.of("app", user="2")


def test_filter_of_many_topics_takes_each_of_them_once(router: Router, encoding: EncodingGroup) -> None:
    where = Filter.of("app", user="1") | Filter.of("client", user="1")
    sink = Recorder()
    from_event(encoding, where, sink)
    assert where.user == "1"
    events = numbered(
        [make_event(["1"]), make_event(topic="client"), make_event(["2"]), make_event(["1"], topic="x")]
    )
    assert router.deliver(events) == 2
    assert sink.writes == [frames(events[:2])]


def test_deliver_to_nobody_reaches_nobody(router: Router) -> None:
    assert router.deliver(numbered([make_event()])) == 0


# -- coming and going ------------------------------------------------------------------------------


def test_sink_may_subscribe_twice_and_leave_once(router: Router, encoding: EncodingGroup) -> None:
    sink = Recorder()
    app = from_event(encoding, Filter.of("app", user="1"), sink)
    from_event(encoding, Filter.of("client", user="1"), sink)
    app.close()
    events = numbered([make_event(["1"]), make_event(["1"], topic="client")])
    assert router.deliver(events) == 1
    assert sink.writes == [events[1].frame()]


def test_closed_subscription_gets_nothing_more(router: Router, encoding: EncodingGroup) -> None:
    sink, other = Recorder(), stream_of(encoding, "1")
    subscription = from_event(encoding, Filter.of("app", user="1"), sink)
    subscription.close()
    subscription.close()
    assert router.deliver(numbered([make_event(["1"])])) == 1
    assert sink.writes == []
    assert len(other.writes) == 1


def test_has_knows_which_keys_are_taken(router: Router) -> None:
    (key,) = make_event(["1"]).keys
    assert not router.has(key)
    first = from_event(encoding_of(router, named=True), Filter.of("app", user="1"), Recorder())
    second = from_event(encoding_of(router), Filter.of("app", user="1"), Recorder())
    third = from_event(encoding_of(router), Filter.of("app", user="1"), Recorder())
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
        encoding = encoding_of(router, chunked=data.draw(st.booleans()))
        open_.append((sink, topic, user, from_event(encoding, Filter.of(topic, user=user), sink)))
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


@given(st.data())
def test_batch_reaches_whom_its_events_would_reach(data: st.DataObject) -> None:
    """Random streams in all encodings: a batch, and the same events one by one, write the same frames."""
    users = st.sampled_from(["1", "2", "3", "é"])
    whom = data.draw(st.lists(users, min_size=1, max_size=9))
    shared = data.draw(st.sampled_from([(), ("app",)]))
    batch = EventColumns("app", shared, whom, [b'{"n":%d}' % (10**n) for n in range(len(whom))], 1.0)
    batch.assign_ids("aaaaaaaa", data.draw(st.sampled_from([1, 8, 95, 99, 100])))
    streams = data.draw(
        st.lists(st.tuples(st.none() | users, st.booleans(), st.booleans(), st.booleans()), max_size=9)
    )
    written = []
    for events in (batch, EventList(batch)):
        router, sinks = Router(), [Recorder() for _ in streams]
        for sink, (user, whole, named, chunked) in zip(sinks, streams, strict=True):
            where = Filter.of("app", user=user, whole=whole)
            from_event(encoding_of(router, named=named, chunked=chunked), where, sink)
        reached = router.deliver(events)
        assert all(len(sink.writes) <= 1 for sink in sinks)
        bodies = [
            b"".join(decode_chunks(sink.bytes)[0]) if chunked else sink.bytes
            for sink, (*_, chunked) in zip(sinks, streams, strict=True)
        ]
        written.append((reached, bodies))
    assert written[0] == written[1]


def unwrapped(sink: Recorder) -> bytes:
    written = b"".join(sink.writes)
    return written if written[:3] in (b"", b"id:") else b"".join(decode_chunks(written)[0])
