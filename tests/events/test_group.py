"""Both kinds of group keep one protocol: columns give what a list of their events gives."""

import pytest

from sse_push.events.event import Event
from sse_push.events.group import EventColumns, EventGroup, EventList, concat
from sse_push.events.topics import Topic, event_keys, user_keys
from tests.events.fakes import make_event, number
from tests.events.reference import decode_chunks

EPOCH = "aaaaaaaa"
APP = Topic("app", whole=True)


def batch_for(
    *users: str, topic: str = "app", shared: tuple[str, ...] = ("app",), first: int = 0
) -> EventColumns:
    data = [b'{"to":"%b"}' % user.encode() for user in users]
    batch = EventColumns(topic, shared, [*users], data, 7.0)
    if first:
        batch.assign_ids(EPOCH, first)
    return batch


def as_it_is(event: Event) -> tuple[object, ...]:
    return (
        event.topic, event.keys, event.data, event.name, event.at, event.expires, event.key, event.durable,
        event.local, event.seq, event.id,
    )  # fmt: skip


def test_batch_is_the_sequence_of_its_events() -> None:
    batch = batch_for("1", "2", "é", first=9)
    events = [
        number(Event("app", user_keys(APP, "app", user), b'{"to":"%b"}' % user.encode(), at=7.0), EPOCH, seq)
        for seq, user in enumerate(["1", "2", "é"], 9)
    ]
    assert [*map(as_it_is, batch)] == [*map(as_it_is, events)]
    assert as_it_is(batch[-1]) == as_it_is(events[-1])
    assert [*map(as_it_is, batch[1:])] == [*map(as_it_is, events[1:])]
    assert (len(batch), batch.ids(), batch.data_bytes) == (3, [e.id for e in events], 10 + 10 + 11)
    with pytest.raises(IndexError):
        batch[3]


def test_events_of_a_batch_that_is_not_kept_have_no_number() -> None:
    assert [(event.seq, event.id) for event in batch_for("1", "2")] == [(0, None)] * 2


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("topic", ["app", "100%", "%d"])
@pytest.mark.parametrize("first", [1, 7, 95, 999_999_990])
def test_chunks_are_those_of_the_frames(named: bool, topic: str, first: int) -> None:
    batch = batch_for(*map(str, range(120)), topic=topic, first=first)
    chunks = batch.chunks([1] * 120, named=named)
    frames = [event.named_frame() if named else event.frame() for event in batch]
    assert [decode_chunks(chunk)[0] for chunk in chunks] == [[frame] for frame in frames]


def test_nothing_is_framed_for_whom_nobody_waits() -> None:
    batch = batch_for("1", "2", "3", first=9)
    assert batch.chunks([None, "", None], named=False) == [b"", batch[1].chunk(), b""]


def test_batches_of_one_topic_are_joined_and_stay_as_they_are() -> None:
    one, two = batch_for("1", "2"), batch_for("3")
    both = concat([one, two])
    assert isinstance(both, EventColumns)
    assert [*map(as_it_is, both)] == [*map(as_it_is, [*one, *two])]
    assert (both.users, both.data_bytes) == (["1", "2", "3"], one.data_bytes + two.data_bytes)
    assert (len(one), len(one.data), len(one.users), one.data_bytes, len(two)) == (2, 2, 2, 20, 1)
    assert concat([one]) is one


@pytest.mark.parametrize(
    "other",
    [batch_for("3", topic="client"), EventList([make_event(["3"])]), EventList([make_event()])],
    ids=["topic", "user", "all"],
)
def test_what_is_not_alike_is_joined_to_a_list(other: EventGroup) -> None:
    one = batch_for("1", "2")
    for lists in ([one, other], [other, one]):
        events = concat(lists)
        assert isinstance(events, list)
        assert [event.data for event in events] == [event.data for its in lists for event in its]


def test_ids_and_bytes_are_those_of_the_events() -> None:
    batch = batch_for("1", "2", first=9)
    assert batch.ids() == EventList(batch).ids() == [f"{EPOCH}-9", f"{EPOCH}-10"]
    assert batch.data_bytes == EventList(batch).data_bytes == 20


def test_keys_of_a_batch_are_those_of_its_users() -> None:
    batch = batch_for("1", "a\u2028b")
    assert [event.keys for event in batch] == [event_keys(APP, "app", [user]) for user in batch.users]
