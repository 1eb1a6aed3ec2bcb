"""Models become schemas that say what the service really takes and sends."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from sse_push.events.event import Name
from sse_push.handlers.description.schemas import Schemas


class Inner(BaseModel):
    message: str


class Form(BaseModel):
    model_config = ConfigDict(title="Form")

    user_id: Name = Field(alias="userId")
    kind: Literal["a", "b"]
    inner: Inner
    many: list[Inner]
    maybe: str | None = None
    known: Annotated[int, Field(examples=[7])] = 0


def test_names_may_be_numbers_and_absent_is_not_null() -> None:
    properties = Schemas([(Form, "validation")], []).named["Form"]["properties"]

    assert properties["userId"]["type"] == ["string", "number"]
    assert properties["maybe"] == {"type": "string"}


def test_defaults_are_optional_to_send_and_sure_to_come() -> None:
    taken = Schemas([(Form, "validation")], []).named["Form"]["required"]
    given = Schemas([(Form, "serialization")], []).named["Form"]["required"]

    assert taken == ["userId", "kind", "inner", "many"]
    assert given == ["userId", "kind", "inner", "many", "known"]


def test_sample_fills_a_form() -> None:
    schemas = Schemas([(Form, "validation")], [])

    assert schemas.sample(schemas.of(Form, "validation")) == {
        "userId": "42",
        "kind": "a",
        "inner": {"message": "Hello"},
        "many": [{"message": "Hello"}],
        "maybe": "text",
        "known": 7,
    }


@pytest.mark.parametrize(("schema", "sample"), [({"type": "integer"}, 1), ({"const": "x"}, "x"), ({}, {})])
def test_sample_of_a_plain_schema(schema: dict[str, Any], sample: Any) -> None:
    assert (
        Schemas([(Form, "validation")], []).sample(schema, "message" if schema.get("type") else "") == sample
    )
