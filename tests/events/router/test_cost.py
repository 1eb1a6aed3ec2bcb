"""What a delivery costs: keys and sinks count how often they are touched, among ten thousand."""

import pytest

from sse_push.events.router import Filter, Router, from_event
from tests.events.fakes import Recorder, make_event
from tests.events.router.listening import encoding_of, frames, numbered


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
    encoding = encoding_of(router)
    for user in range(others):
        from_event(encoding, counted(Filter.of("app", user=f"other{user}")), CountingSink())
    mine = CountingSink()
    from_event(encoding, counted(Filter.of("app", user="me")), mine)
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
    encoding = encoding_of(router)
    sinks = [CountingSink() for _ in range(10_000)]
    for user, sink in enumerate(sinks):
        from_event(encoding, Filter.of("app", user=str(user)), sink)
    events = numbered(make_event([str(user)]) for user in (7, 5_000, 7))
    CountingSink.touched = 0
    assert router.deliver(events) == 3
    assert [user for user, sink in enumerate(sinks) if sink.writes] == [7, 5_000]
    assert CountingSink.touched < 20


def test_leaving_touches_the_one_who_leaves() -> None:
    """Ten thousand streams of one key: a stream that leaves must not look through the others."""
    router = Router()
    encoding = encoding_of(router)
    subscriptions = [from_event(encoding, Filter.of("app"), CountingSink()) for _ in range(10_000)]
    CountingSink.touched = 0
    subscriptions[5_000].close()
    assert CountingSink.touched < 20
    assert router.deliver(numbered([make_event()])) == 9_999
