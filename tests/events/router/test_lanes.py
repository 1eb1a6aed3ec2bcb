"""How a lane writes: in its own framing, and a batch in one write."""

from sse_push.events.router import Lane, Router
from tests.events.fakes import make_event
from tests.events.reference import decode_chunks
from tests.events.router.listening import frames, lane_of, numbered, stream_of


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
