"""JSON Schema as people read it: a type, a list of fields, the bounds of each. Knows HTML; no HTTP."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from sse_push.events.event import Name
from sse_push.handlers.description.html import Html, el, inline, join

Json = dict[str, Any]

_RANGES = (
    ("minLength", "maxLength", "characters"),
    ("minItems", "maxItems", "items"),
    ("minimum", "maximum", ""),
)
_PATTERNS = {TypeAdapter(Name).json_schema().get("pattern"): "no control characters"}


def type_of(schema: Json) -> Html:
    """A schema's type in a few words, with links to those that have names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return el("a", name, href=f"#schema-{name}")
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return _either([type_of(one) for one in schema[choice]])
    if "enum" in schema:
        return _either([el("code", str(value)) for value in schema["enum"]])
    if "const" in schema:
        return el("code", str(schema["const"]))
    if schema.get("type") == "array":
        return join("list of ", type_of(schema.get("items", {})))
    given = schema.get("type", "any JSON")
    return join(" or ".join(given) if isinstance(given, list) else given)


def _either(choices: Sequence[Html]) -> Html:
    return join(choices[0], (join(" or ", choice) for choice in choices[1:]))


def fields(properties: Json, required: Sequence[str], where: str = "") -> Html:
    """A list of *properties*: name, type, whether it is required, what it says.

    Args:
        where: Where in a request they stand.
    """
    return el("dl", (_field(name, schema, name in required, where) for name, schema in properties.items()))


def _field(name: str, schema: Json, required: bool, where: str) -> Html:
    marks = join(el("em", "required") if required else None, el("span", f"in {where}") if where else None)
    says = [inline(schema["description"])] if schema.get("description") else []
    bounds = _bounds(schema)
    return el(
        "div",
        el("dt", el("code", name), el("span", type_of(schema)), marks),
        el("dd", says, el("p", join(bounds), class_="note") if bounds else None) if says or bounds else None,
    )


def _bounds(schema: Json) -> list[Html]:
    said = [join(_range(schema.get(least), schema.get(most), unit)) for least, most, unit in _RANGES if {least, most} & {*schema}]  # fmt: skip
    if "exclusiveMinimum" in schema:
        said.append(join(f"more than {schema['exclusiveMinimum']}"))
    if (pattern := schema.get("pattern")) is not None:
        said.append(join(_PATTERNS.get(pattern) or join("matches ", el("code", pattern))))
    if "default" in schema and "const" not in schema:
        said.append(join("default ", el("code", json.dumps(schema["default"], ensure_ascii=False))))
    return [join("; " if index else "", one) for index, one in enumerate(said)]


def _range(least: float | None, most: float | None, unit: str) -> str:
    if most is None:
        said = f"at least {least}"
    else:
        said = f"at most {most}" if least is None else f"{least} to {most}"
    return f"{said} {unit}".rstrip()
