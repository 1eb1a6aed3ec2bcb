"""How a encoding writes: in its own framing, and a batch in one write."""

from sse_push.events.group import EventList
from sse_push.events.router import EncodingGroup, Router
from tests.events.fakes import make_event
from tests.events.reference import decode_chunks
from tests.events.router.listening import encoding_of, frames, numbered, stream_of


def test_each_lane_frames_in_its_own_way(router: Router) -> None:
    sinks = {
        (named, chunked): stream_of(encoding_of(router, named=named, chunked=chunked))
        for named in (True, False)
        for chunked in (True, False)
    }
    (event,) = numbered([make_event(name="tick")])
    assert router.deliver(EventList([event])) == 4
    for (named, chunked), sink in sinks.items():
        (written,) = sink.writes
        body = b"".join(decode_chunks(written)[0]) if chunked else written
        assert body == (event.named_frame() if named else event.frame())


def test_heartbeat_is_framed_as_the_lane_is(router: Router) -> None:
    assert encoding_of(router, chunked=False).heartbeat == b": hb\n\n"
    assert decode_chunks(encoding_of(router, chunked=True).heartbeat) == ([b": hb\n\n"], False)


def test_lane_joins_and_wraps_for_those_who_write_themselves(router: Router) -> None:
    events = numbered([make_event(), make_event(data=b"2")])
    assert encoding_of(router).join(events) == frames(events)
    assert encoding_of(router).join([]) == b""
    assert encoding_of(router, named=True).join(events[:1]) == events[0].named_frame()
    assert decode_chunks(encoding_of(router, chunked=True).wrap(b"x: y\n\n")) == ([b"x: y\n\n"], False)


# -- one write -------------------------------------------------------------------------------------


def test_batch_alike_is_one_write_in_order(router: Router, encoding: EncodingGroup) -> None:
    one, two = stream_of(encoding, "1"), stream_of(encoding, "2")
    events = numbered(make_event(["1", "2"], data=b"%d" % n) for n in range(5))
    assert router.deliver(events) == 10
    assert one.writes == two.writes == [frames(events)]


def test_batch_for_many_is_one_write_each_in_order(router: Router, encoding: EncodingGroup) -> None:
    one, two, three = (stream_of(encoding, user) for user in "123")
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


def test_chunked_encoding_writes_a_group_at_once(router: Router) -> None:
    sink = stream_of(encoding_of(router, chunked=True), "1")
    events = numbered([make_event(["1"]), make_event(), make_event(["1"])])
    router.deliver(events)
    (written,) = sink.writes
    assert b"".join(decode_chunks(written)[0]) == frames(events)


def test_same_bytes_go_to_every_stream(router: Router, encoding: EncodingGroup) -> None:
    """Framed once: not equal bytes, the same object."""
    sinks = [stream_of(encoding) for _ in range(3)]
    router.deliver(numbered([make_event(), make_event()]))
    assert sinks[0].writes[0] is sinks[1].writes[0] is sinks[2].writes[0]
