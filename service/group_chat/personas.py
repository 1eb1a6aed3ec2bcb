"""The AI members of rooms: read once from a TOML file, validated, then frozen. Does not know how they answer."""

import tomllib
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sse_push.events.event import Name
from sse_push.service.settings import PREFIX, BadSettings

MAX_PERSONAS = 100  # in one file: people choose among a few, not among thousands
MAX_MEMBERS = 8  # AI members of one room: each turn makes one job per member
MAX_PERSONA_NAME = 64  # characters
MAX_PROMPT = 8_000  # characters: some pages
MAX_REPLY = 4_000  # characters of a scripted reply
MAX_REPLIES = 100  # of one persona
EVERYWHERE = "*"

_DEFAULT = "personas.toml"
_SETTING = f"{PREFIX}PERSONAS_FILE"

_Text = Annotated[str, Field(min_length=1, max_length=MAX_REPLY)]


class Persona(BaseModel):
    """One AI member.

    Attributes:
        replies: Scripted replies; without any it asks a model, if one is set.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int = Field(ge=1, lt=2**31)
    name: Name = Field(max_length=MAX_PERSONA_NAME)
    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)
    rooms: tuple[Name, ...] = (EVERYWHERE,)
    model: str | None = Field(default=None, min_length=1)
    replies: tuple[_Text, ...] = Field(default=(), max_length=MAX_REPLIES)

    def is_in(self, room: str) -> bool:
        return room in self.rooms or EVERYWHERE in self.rooms


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    persona: list[Persona] = Field(default=[], max_length=MAX_PERSONAS)

    @field_validator("persona")
    @classmethod
    def _fit_together(cls, personas: list[Persona]) -> list[Persona]:
        [(id_, count)] = Counter(persona.id for persona in personas).most_common(1) or [(0, 0)]
        if count > 1:
            raise ValueError(f"id {id_} is used {count} times")
        for room in {EVERYWHERE, *(room for persona in personas for room in persona.rooms)}:
            if (members := sum(persona.is_in(room) for persona in personas)) > MAX_MEMBERS:
                raise ValueError(f"room {room!r} has {members} members, over the limit of {MAX_MEMBERS}")
        return personas


class Personas:
    """All personas."""

    def __init__(self, personas: Sequence[Persona]) -> None:
        self._all = tuple(personas)

    def __len__(self) -> int:
        return len(self._all)

    def members_of(self, room: str) -> tuple[Persona, ...]:
        """The members of *room*, in the file's order."""
        return tuple(persona for persona in self._all if persona.is_in(room))

    def names_without_model(self) -> list[str]:
        """Names of the personas that have neither replies nor a model."""
        return [persona.name for persona in self._all if not (persona.replies or persona.model)]


def load_personas(path: Path | None) -> Personas:
    """The personas of the file at *path*, or the two default ones.

    Raises:
        BadSettings: The file is invalid; the message has a line for each error.
    """
    if path is None:
        return Personas(_parse((files("sse_push.service.group_chat") / _DEFAULT).read_text("utf-8")))
    try:
        return Personas(_parse(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{_SETTING}: {path}: {error}") from None
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        raise BadSettings("\n".join(f"{_SETTING}: {path}: {_describe(fault['loc'], fault['msg'])}" for fault in faults)) from None  # fmt: skip


def _parse(text: str) -> list[Persona]:
    return _File.model_validate(tomllib.loads(text)).persona


def _describe(where: tuple[int | str, ...], message: str) -> str:
    """``persona 2: name: Field required``; counts from 1."""
    places: list[str] = []
    for part in where:
        if isinstance(part, int) and places:
            places[-1] += f" {part + 1}"
        else:
            places.append(str(part))
    return ": ".join([*places, message.removeprefix("Value error, ")])
