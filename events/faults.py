"""What is wrong with what came, in words for whoever sent it. Never quotes what was sent, but for a field's name."""

from collections.abc import Iterable, Sequence

from pydantic import ValidationError

from sse_push.events.errors import BadEvent

MAX_FAULTS = 100  # faults of one body that are named: nobody mends more at once
MAX_NAME_SHOWN = 64  # characters shown of a field that should not be there


def details_of(error: ValidationError) -> list[str]:
    """What is wrong, the first hundred faults."""
    found = []
    for fault in error.errors(include_input=False, include_url=False, include_context=False)[:MAX_FAULTS]:
        path = [*map(str, fault["loc"])]
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            path[-1] = path[-1][:MAX_NAME_SHOWN]
            message = "there is no such field"
        found.append(f"{'.'.join(path)}: {message}" if path else message)
    return found


def together(faults: Iterable[BadEvent]) -> BadEvent:
    """One error for all of *faults*, the first hundred, in the order of their list."""
    first, *others = sorted(faults, key=lambda fault: fault.index)[:MAX_FAULTS]
    first.others = others
    return first


def described(faults: Sequence[BadEvent], *, of_list: bool = False) -> str:
    """*faults* in one line, with their places if they are of a list."""
    return "; ".join(
        f"{fault.index}: {fault.detail}" if of_list else fault.detail for fault in faults[:MAX_FAULTS]
    )
