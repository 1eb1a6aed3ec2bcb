"""Who sits in which room: by default, and by a file."""

from pathlib import Path

import pytest

from sse_push.service.group_chat.build import personas_of
from sse_push.service.group_chat.personas import MAX_MEMBERS, load_personas
from sse_push.service.settings import BadSettings
from tests.conftest import SettingsFactory

ADA = 'id = 1\nname = "Ada"\nprompt = "p"\n'


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "personas.toml"


def test_two_sit_in_every_room_by_default() -> None:
    personas = load_personas(None)

    assert [persona.name for persona in personas.members_of("any room")] == ["Ada", "Basil"]
    assert personas.names_without_model() == ["Ada", "Basil"]


def test_file_says_who_sits_where(written: Path) -> None:
    written.write_text(
        f'[[persona]]\n{ADA}rooms = ["harbour"]\nmodel = "m"\n'
        '[[persona]]\nid = 7\nname = "Bell"\nprompt = "p"\nreplies = ["Ding."]\n'
    )
    personas = load_personas(written)

    assert [persona.id for persona in personas.members_of("harbour")] == [1, 7]
    assert [persona.id for persona in personas.members_of("general")] == [7]
    assert personas.names_without_model() == []


def test_empty_file_leaves_the_rooms_to_people(written: Path) -> None:
    written.write_text("# nobody\n")

    assert len(load_personas(written)) == 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[persona]]\n", "persona 1: id: Field required"),
        (f"[[persona]]\n{ADA}[[persona]]\n{ADA}", "id 1 is used 2 times"),
        (f"[[persona]]\n{ADA}mood = 3\n", "persona 1: mood: Extra inputs are not permitted"),
        (f"[[persona]]\n{ADA}rooms = [3]\n", "persona 1: rooms 1: "),
        (f"[[persona]]\n{ADA.replace('1', '0')}", "persona 1: id: "),
        (f'[[persona]]\n{ADA}[[persona]]\nid = 2\nname = ""\nprompt = "p"\n', "persona 2: name: "),
        (f'[[persona]]\n{ADA}replies = [""]\n', "persona 1: replies 1: "),
        ("[[persona]\n", "line 1"),
        ("[[people]]\n", "people: Extra inputs"),
    ],
)
def test_fault_of_a_file_is_told_with_its_place(written: Path, text: str, fault: str) -> None:
    written.write_text(text)

    with pytest.raises(BadSettings) as raised:
        load_personas(written)

    assert str(raised.value).startswith(f"SSE_PUSH_PERSONAS_FILE: {written}: ")
    assert fault in str(raised.value)


def test_file_that_is_not_there_is_a_fault(written: Path) -> None:
    with pytest.raises(BadSettings, match="No such file"):
        load_personas(written)


def test_room_has_so_many_members_and_no_more(written: Path) -> None:
    def persona(number: int, rooms: str) -> str:
        return f'[[persona]]\nid = {number}\nname = "P{number}"\nprompt = "p"\nrooms = {rooms}\n'

    everywhere = "".join(persona(number, '["*"]') for number in range(1, MAX_MEMBERS + 1))
    written.write_text(everywhere)
    assert len(load_personas(written)) == MAX_MEMBERS

    written.write_text(everywhere + persona(99, '["harbour"]'))
    with pytest.raises(BadSettings, match=f"room 'harbour' has {MAX_MEMBERS + 1} members"):
        load_personas(written)


def test_persona_without_a_model_is_a_fault_where_models_speak(
    settings_for: SettingsFactory, written: Path
) -> None:
    written.write_text(f"[[persona]]\n{ADA}")
    speaking = {"ai_base_url": "http://127.0.0.1:1/v1", "personas_file": written}

    with pytest.raises(BadSettings, match="SSE_PUSH_AI_MODEL: must be set, because Ada"):
        personas_of(settings_for(**speaking))

    assert len(personas_of(settings_for(**speaking, ai_model="m"))) == 1
