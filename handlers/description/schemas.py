"""From models to JSON Schema, and from JSON Schema to an example. Knows pydantic; knows nothing of OpenAPI."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from sse_push.events.event import Name, PushEvent
from sse_push.events.topics import Topic

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]

REF = "#/components/schemas/"
# What a property of this name is like, where its model gives no example.
_SAMPLES: Mapping[str, Any] = {
    "action": "refresh",
    "byStream": {"app": 2, "chat": 1},
    "clients": 2,
    "connected": 3,
    "data": {"total": 7},
    "detail": "the body is not JSON",
    "entityId": "17",
    "entityType": "order",
    "eventsSent": 125000,
    "message": "Hello",
    "nodeId": "9f2c61aa",
    "payload": {"page": 1},
    "room": "general",
    "rssBytes": 61_440_000,
    "roomId": "general",
    "timestamp": "2026-01-18T10:30:00.000Z",
    "title": "Deploy",
    "total": 3,
    "uptime": 86400.5,
    "url": "https://example.com/checkout",
    "userId": "42",
    "clientId": "42",
    "username": "ada",
    "version": "1.0.0",
}
_BY_TYPE: Mapping[str, Any] = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None}
_PYTHON: Mapping[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict}  # fmt: skip


class Schemas:
    """The schemas of many forms, with their common parts by name.

    Args:
        forms: Models or other annotations, each as validated or as serialized.

    Attributes:
        named: The schemas of all models among them and within them.
    """

    def __init__(self, forms: Iterable[tuple[Any, Mode]], topics: Iterable[Topic]) -> None:
        made, rest = TypeAdapter.json_schemas(
            [(form, mode, TypeAdapter(form)) for form, mode in dict.fromkeys(forms)],
            ref_template=f"{REF}{{model}}",
            schema_generator=_Generator,
        )
        self._made = made
        self.named: Json = rest.get("$defs", {})
        if PushEvent.__name__ in self.named:
            _finish_push_event(self.named[PushEvent.__name__], topics)

    def of(self, form: Any, mode: Mode) -> Json:
        """The schema of *form*: most often a reference to one by name."""
        return self._made[form, mode]

    def resolve(self, schema: Json) -> Json:
        """The schema that *schema* is, or refers to."""
        return self.named[schema["$ref"].removeprefix(REF)] if "$ref" in schema else schema

    def sample(self, schema: Json, name: str = "") -> Any:
        """An example of *schema*, as a property of *name*."""
        schema = self.resolve(schema)
        for given in ("examples", "enum"):
            if given in schema:
                return schema[given][0]
        if "const" in schema:
            return schema["const"]
        if name in _SAMPLES and isinstance(_SAMPLES[name], _PYTHON.get(str(schema.get("type")), object)):
            return _SAMPLES[name]
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                return self.sample(schema[choice][0], name)
        if "properties" in schema:
            return {key: self.sample(value, key) for key, value in schema["properties"].items()}
        if schema.get("type") == "array":
            return [self.sample(schema.get("items", {}))]
        return schema.get("default", _BY_TYPE.get(str(schema.get("type")), {}))


class _Generator(GenerateJsonSchema):
    """Pydantic's own, without what says nothing to a reader, and with what only a model's settings say."""

    _name = TypeAdapter(Name).json_schema()

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        """What has a default is sent all the same, but for null."""
        default = field["schema"].get("default") if field["type"] == "model-field" else None
        return super().field_is_required(field, total) or (
            self.mode == "serialization" and default is not None
        )

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Null by default means absent: it need not be sent, and never is."""
        inner = schema["schema"]
        if schema.get("default", ...) is None and inner["type"] == "nullable":
            return self.generate_inner(inner["schema"])
        return super().default_schema(schema)

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        """A name may be a number: it means its text."""
        form = super().str_schema(schema)
        return {**form, "type": ["string", "number"]} if form == self._name else form


def _finish_push_event(form: Json, topics: Iterable[Topic]) -> None:
    """What the model checks by code of its own, and what the registry of topics does."""
    audiences: list[Json] = [{"required": [name]} for name in ("userId", "userIds", "room")]
    everybody = {"required": ["broadcast"], "properties": {"broadcast": {"const": True}}}
    form["oneOf"] = [*audiences, everybody]
    names = {topic.name: f"{topic.name}(:.+)?" if topic.per_room else topic.name for topic in topics if topic.publishable}  # fmt: skip
    form["properties"]["topic"]["pattern"] = f"^({'|'.join(names.values())})$"
    form["properties"]["event"]["pattern"] = r"^(?!sse\.)[^\r\n\x00]*$"
