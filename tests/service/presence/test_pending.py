"""What waits is taken in bulk, and is not put back over what is newer."""

from sse_push.service.presence.pending import BATCH_USERS, put_back, take


def test_so_many_are_taken_at_once_the_first_first() -> None:
    waiting = dict.fromkeys(range(BATCH_USERS + 2))
    assert [*take(waiting)] == [*range(BATCH_USERS)]
    assert [*waiting] == [BATCH_USERS, BATCH_USERS + 1]


def test_what_is_put_back_leaves_what_is_newer() -> None:
    waiting = {1: "newer"}
    put_back(waiting, {1: "older", 2: "older"})
    assert waiting == {1: "newer", 2: "older"}
