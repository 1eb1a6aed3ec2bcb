"""Fingerprints: the same for what is asked again, whatever it looks like, and another for anything else."""

import pytest

from sse_push.events.fingerprint import fingerprint_of


@pytest.mark.parametrize(
    "again",
    ['{"a":1,"b":["é",null]}', '{ "b" : [ "\\u00e9", null ], "a" : 1 }'],
)
def test_fingerprint_is_that_of_the_meaning(again: str) -> None:
    assert fingerprint_of("call", again.encode()) == fingerprint_of("call", '{"a":1,"b":["é",null]}'.encode())


def test_fingerprints_of_all_else_differ() -> None:
    asked: list[tuple[object, ...]] = [
        ("call", b"1"), ("other", b"1"), ("call", b"2"), ("call", b'"1"'), ("call", b"[1]"), ("call", b"1", None),
        ("call", b'{"a":1,"b":2}'), ("call", b'{"a":2,"b":1}'), ("call", b"[1,2]"), ("call", b"[2,1]"), ("ca", "ll", b"1"),
    ]  # fmt: skip
    assert len({fingerprint_of(*parts) for parts in asked}) == len(asked)


@pytest.mark.parametrize("data", [b"1" * 5000, b"[" * 5000 + b"]" * 5000, b'"\\ud800"', b"\xff", b""])
def test_data_that_is_not_read_here_has_a_fingerprint_all_the_same(data: bytes) -> None:
    assert fingerprint_of(data) == fingerprint_of(data) != fingerprint_of(data + b" 1")
    assert len(fingerprint_of(data)) == 16


def test_numbers_past_any_float_are_told_apart() -> None:
    assert fingerprint_of(b"1e999") != fingerprint_of(b"2e999")
