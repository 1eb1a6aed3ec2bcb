"""Schemas read as a few words."""

from typing import Any

import pytest

from sse_push.handlers.description.schema_view import fields, type_of


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["string", "number"]}, "string or number"),
        ({}, "any JSON"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/A"}}, 'list of <a href="#schema-A">A</a>'),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({"enum": ["a", "<b>"]}, "<code>a</code> or <code>&lt;b&gt;</code>"),
        ({"const": "redirect"}, "<code>redirect</code>"),
    ],
)
def test_type_is_said_in_words(schema: dict[str, Any], said: str) -> None:
    assert type_of(schema) == said


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"minLength": 1, "maxLength": 128}, "1 to 128 characters"),
        ({"maxItems": 3}, "at most 3 items"),
        ({"minimum": 0}, "at least 0"),
        ({"exclusiveMinimum": 0, "default": True}, "more than 0; default <code>true</code>"),
        ({"pattern": "^<$"}, "matches <code>^&lt;$</code>"),
    ],
)
def test_bounds_are_said_in_words(schema: dict[str, Any], said: str) -> None:
    assert f'<p class="note">{said}</p>' in fields({"x": {"type": "string", **schema}}, [])


def test_required_fields_are_marked() -> None:
    shown = fields({"a": {}, "b": {}}, ["b"], where="query")

    assert shown.count("required") == 1
    assert shown.index("required") > shown.index("<code>b</code>")
    assert shown.count("in query") == 2
