"""Passwords, and how long their hashes take: a few at a time, and as long for nobody's as for somebody's."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from sse_push.events.errors import OverLimit
from sse_push.service import passwords
from sse_push.service.passwords import HASHERS, MAX_WAITING_HASHES, Passwords
from tests.conftest import until

REAL_HASHER = passwords.new_hasher  # before the tests' cheap one takes its place


@pytest.fixture
def desk() -> Iterator[Passwords]:
    desk = Passwords()
    yield desk
    desk.close()


async def test_password_is_known_again_and_no_other_is(desk: Passwords) -> None:
    hashed = await desk.hash("correct horse")
    assert await desk.verify("correct horse", hashed)
    assert not await desk.verify("Correct horse", hashed)
    assert not await desk.verify("", hashed)


async def test_two_hashes_of_one_password_differ(desk: Passwords) -> None:
    assert await desk.hash("correct horse") != await desk.hash("correct horse")


async def test_nobodys_password_is_never_right(desk: Passwords) -> None:
    assert not await desk.verify("correct horse", None)


@pytest.mark.parametrize("hashed", ["", "-", "$argon2id$broken"])
async def test_hash_that_is_none_is_never_right(desk: Passwords, hashed: str) -> None:
    assert not await desk.verify("-", hashed)


def test_hashes_are_as_hard_as_the_standard_wants() -> None:
    parameters = extract_parameters(REAL_HASHER().hash("correct horse"))
    # RFC 9106, section 4: the second recommended choice
    assert (parameters.type, parameters.memory_cost, parameters.time_cost) == (Type.ID, 65536, 3)


class SlowHasher(PasswordHasher):
    """Takes as long as the test says, and counts how many it does at once and how often."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.go = threading.Event()
        self.at_once = self.most = self.verified = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        assert self.go.wait(10)
        self.at_once -= 1
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        self.verified += 1
        return super().verify(hash, password)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowHasher]:
    slow = SlowHasher()
    monkeypatch.setattr(passwords, "new_hasher", lambda: slow)
    yield slow
    slow.go.set()


async def test_crowd_is_hashed_a_few_at_a_time_and_its_end_turned_away(
    desk: Passwords, slow: SlowHasher
) -> None:
    crowd = [asyncio.create_task(desk.hash("correct horse")) for _ in range(MAX_WAITING_HASHES)]
    await until(lambda: slow.at_once == HASHERS)
    started = time.monotonic()
    with pytest.raises(OverLimit) as caught:
        await desk.hash("correct horse")
    assert caught.value.limit == "logins"
    assert time.monotonic() - started < 1, "the loop went on meanwhile"
    slow.go.set()
    assert len(set(await asyncio.gather(*crowd))) == MAX_WAITING_HASHES
    assert slow.most == HASHERS
    assert await desk.hash("correct horse")


async def test_nobodys_password_costs_what_somebodys_does(desk: Passwords, slow: SlowHasher) -> None:
    slow.go.set()
    hashed = await desk.hash("correct horse")
    await desk.verify("wrong", hashed)
    before = slow.verified
    await desk.verify("wrong", hashed)
    await desk.verify("wrong", None)
    assert slow.verified - before == 2
