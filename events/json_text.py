"""JSON as it comes from outside, checked the same way on every Python, whatever its parsers would make of it.

Values that nobody here looks into stay the text that came (``Encoded``), so numbers keep their digits. What is JSON but
can't be passed on (nested too deep, half a surrogate pair) is marked where it stands, so that all faults of a body are
found. Pure; does not know events.
"""

import re
from itertools import accumulate, chain, repeat
from operator import add, sub
from secrets import token_hex
from typing import Any

import msgspec

MAX_DEPTH = 64  # arrays and objects in each other: what System.Text.Json, the strictest common parser, reads
_QUOTE = b'"'[0]
_BOM = b"\xef\xbb\xbf"
_MASKED = b"\x01\x01"  # in the place of an escaped backslash; JSON holds no such bytes
# A text, also one without an end: no byte is looked at twice.
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BETWEEN = rb'(?:[^\[\]{}"]++|' + _TEXT.pattern + rb")*+"
# A run of arrays and objects that hold none, of opening, or of closing brackets.
_RUN = re.compile(
    rb"(?P<flat>(?:[\[{]%b[\]}]%b)++)|[\[{]+|[\]}]+|%b" % (_BETWEEN, _BETWEEN, _TEXT.pattern), re.DOTALL
)
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_COLLAPSES = 4  # times that the innermost arrays are taken out at once, before their runs are counted
_OPENED, _CLOSED = re.compile(rb"\[+"), re.compile(rb"\]+")
_AS_ARRAYS = bytes.maketrans(b"{}", b"[]")

TOO_DEEP = f"nested over {MAX_DEPTH} deep"
HALF_PAIR = "a \\u escape is half of a surrogate pair"

_raw = msgspec.json.Decoder(msgspec.Raw)
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class NotJson(ValueError):
    """Bytes that are not JSON by RFC 8259."""


class Encoded(bytes):
    """A value as JSON on one line, which was checked: written as it is."""

    __slots__ = ()


class Checked:
    """A body that is JSON, on one line, with its faults marked in it.

    Raises:
        NotJson: It is not.
    """

    def __init__(self, body: bytes, max_depth: int = MAX_DEPTH) -> None:
        mark = token_hex(6)
        self._marks = {f"{mark}-half".encode(): HALF_PAIR, f"{mark}-deep".encode(): TOO_DEEP}
        half, deep = self._marks
        try:
            body = without_bom(body)
            if not body.isascii():
                body.decode()
            body = _mark_halves(body, half)
            self._faulty = half in body
            if is_too_deep(body, max_depth):
                body = _mark_deep(body, b'"%b"' % deep, max_depth)
                self._faulty = True
            _raw.decode(body)
            self.text = compact(body)
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            raise NotJson("the body is not JSON") from error

    def faults_in(self, text: bytes) -> list[str]:
        """What can't be passed on of *text*, a part of this body."""
        if not self._faulty:
            return []
        return [detail for mark, detail in self._marks.items() if mark in text]


def elements_of(array: bytes) -> list[bytes]:
    """The elements of a JSON array, as they are written."""
    return [*map(bytes, _raw_list.decode(array))]


def fields_of(value: bytes) -> dict[str, bytes] | None:
    """The fields of a JSON object, as they are written; of one that occurs twice the last. ``None`` for no object."""
    if value[:1] != b"{":
        return None
    return {name: bytes(raw) for name, raw in _raw_object.decode(value).items()}


def object_of(fields: dict[str, bytes]) -> bytes:
    """The JSON object of *fields*, each of which is JSON."""
    return b"{%b}" % b",".join(
        [b"%b:%b" % (msgspec.json.encode(name), text) for name, text in fields.items()]
    )


def encoded(value: dict[str, Any]) -> "dict[str, Any] | Encoded":
    """*value*, as JSON where some of its fields are."""
    if not any(isinstance(field, Encoded) for field in value.values()):
        return value
    raw = {name: msgspec.Raw(field) if isinstance(field, Encoded) else field for name, field in value.items()}
    return Encoded(msgspec.json.encode(raw))


def without_bom(body: bytes) -> bytes:
    """*body* without the byte order mark that some editors and tools put before UTF-8 (RFC 8259, section 8.1)."""
    return body.removeprefix(_BOM)


def compact(body: bytes) -> bytes:
    """*body*, which is JSON, without white space between its tokens."""
    if b" " in body or b"\n" in body or b"\r" in body or b"\t" in body:
        return msgspec.json.format(body, indent=-1)
    return body


def is_json(text: bytes) -> bool:
    """Whether *text* is JSON by RFC 8259, of which NaN and Infinity are no part."""
    try:
        _raw.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def is_too_deep(text: bytes, max_depth: int = MAX_DEPTH) -> bool:
    """Whether arrays and objects of *text* are nested over *max_depth* deep."""
    if len(text) <= 2 * max_depth or text.count(b"[") + text.count(b"{") <= max_depth:
        return False
    brackets = _TEXT.sub(b"", text).translate(_AS_ARRAYS, _NOT_BRACKETS)
    for _ in range(_COLLAPSES):
        brackets = brackets.replace(b"[]", b"")
    opened = map(len, _OPENED.findall(brackets))
    closed = map(len, _CLOSED.findall(brackets))
    return max(accumulate(map(sub, opened, chain([0], closed))), default=0) > max_depth - _COLLAPSES


def is_any_too_deep(texts: list[bytes], longest: int) -> bool:
    """:func:`is_too_deep` of any of *texts*, the longest of which has *longest* bytes."""
    if longest <= 2 * MAX_DEPTH:
        return False
    counts = map(
        add, map(bytes.count, texts, repeat(b"[")), map(bytes.count, texts, repeat(b"{"))
    )  # in a loop of C
    return max(counts) > MAX_DEPTH and any(map(is_too_deep, texts))


def _mark_halves(body: bytes, mark: bytes) -> bytes:
    """*body* with *mark* instead of each half of a surrogate pair without the other."""
    if b"\\ud" not in body and b"\\uD" not in body:
        return body
    if b"\x01" in body:
        raise NotJson("a control character")
    return _HALF.sub(mark, body.replace(rb"\\", _MASKED)).replace(_MASKED, rb"\\")


def _mark_deep(body: bytes, mark: bytes, max_depth: int) -> bytes:
    """*body* with *mark* instead of each value that is nested over *max_depth* deep."""
    parts: list[bytes] = []
    depth = kept = 0  # up to where the body is in parts
    for found in _RUN.finditer(body):
        token = found[0]
        if token[0] == _QUOTE:
            continue
        if found["flat"]:
            if depth == max_depth:
                parts += body[kept : found.start()], mark
                kept = found.start() + max(token.rfind(b"]"), token.rfind(b"}")) + 1
            continue
        if token[0] in b"[{":
            if depth <= max_depth < depth + len(token):
                parts += body[kept : found.start() + max_depth - depth], mark
            depth += len(token)
            continue
        if depth - len(token) <= max_depth < depth:
            kept = found.start() + depth - max_depth
        depth -= len(token)
    return b"".join(parts) if depth > max_depth else b"".join([*parts, body[kept:]])
