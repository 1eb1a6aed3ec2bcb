"""Pending work is taken in batches, and put back under newer work."""

from sse_push.service.presence.pending import BATCH_USERS, put_back, take


def test_take_removes_the_oldest_entries_up_to_the_limit() -> None:
    waiting = dict.fromkeys(range(BATCH_USERS + 2))
    assert [*take(waiting)] == [*range(BATCH_USERS)]
    assert [*waiting] == [BATCH_USERS, BATCH_USERS + 1]


def test_put_back_keeps_newer_entries() -> None:
    waiting = {1: "newer"}
    put_back(waiting, {1: "older", 2: "older"})
    assert waiting == {1: "newer", 2: "older"}
