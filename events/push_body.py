"""Events of JSON bodies, read with care: whatever events/plain.py gives back. All that is wrong is found, not the first.

The data of each stays the text that came, as there. Knows models and their faults; does not know HTTP.
"""

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from sse_push.events.errors import BadEvent
from sse_push.events.event import Push, PushEvent
from sse_push.events.faults import MAX_FAULTS, details_of
from sse_push.events.json_text import (
    MAX_DEPTH,
    Checked,
    Encoded,
    elements_of,
    fields_of,
    object_of,
    without_bom,
)
from sse_push.events.plain import read_plain

WHITE_SPACE = b" \t\r\n"  # what JSON allows between tokens

_validate = TypeAdapter(PushEvent).validator.validate_json


def is_list(body: bytes) -> bool:
    """Whether *body*, if it is JSON, is an array."""
    return without_bom(body).lstrip(WHITE_SPACE)[:1] == b"["


def read_pushes(body: bytes, max_events: int) -> "tuple[Sequence[Push | None], list[BadEvent]]":
    """The events of *body*, an event or a list of them, and what is wrong with those that are ``None``.

    Raises:
        NotJson: It is not.
    """
    plain = read_plain(body, is_list=is_list(body))
    return (plain, []) if plain and len(plain) <= max_events else read_models(body, max_events)


def read_models(body: bytes, max_events: int) -> tuple[list[PushEvent | None], list[BadEvent]]:
    """:func:`read_pushes`, each as the model.

    Raises:
        NotJson: It is not.
    """
    array = is_list(body)
    checked = Checked(body, MAX_DEPTH + 1 + array)
    texts = elements_of(checked.text) if array else [checked.text]
    if not 0 < len(texts) <= max_events:
        return [], [BadEvent(f"a list has from 1 to {max_events} events, not {len(texts)}")]
    pushes: list[PushEvent | None] = []
    faults: list[BadEvent] = []
    for index, text in enumerate(texts):
        if len(faults) >= MAX_FAULTS:  # the rest would not be named, and to find it takes seconds
            return [*pushes, *[None] * (len(texts) - index)], faults
        push, details = _read(text)
        details = [*checked.faults_in(text), *details]
        pushes.append(None if details else push)
        faults += [BadEvent(detail, index) for detail in details]
    return pushes, faults


def _read(text: bytes) -> tuple[PushEvent | None, list[str]]:
    fields = fields_of(text)
    if fields is None:
        return None, ["an event is an object"]
    data = fields.get("data")
    if data is not None:
        fields["data"] = b"null"  # the model need not read it
    try:
        push = _validate(object_of(fields))
    except ValidationError as error:
        return None, details_of(error)
    return push.model_copy(update={"data": Encoded(data or b"null")}), []
