"""Writes web/client/src/wire.ts, the client's types, from the service's own models; with --check only compares.

Knows the API description (handlers/openapi.py) and TypeScript; starts nothing and asks nobody.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sse_push.handlers.openapi import describe
from sse_push.service.streams import STREAMS

TARGET = Path(__file__).resolve().parent.parent / "web" / "client" / "src" / "wire.ts"
REF = "#/components/schemas/"
HEAD = """\
/**
 * What goes over the wire, as the service's own models have it.
 *
 * Written by scripts/client_types.py (`make client-types`); `make check` holds it to the models.
 */
"""
Json = dict[str, Any]


def main() -> int:
    wanted = "\n".join(lines())
    if "--check" not in sys.argv:
        TARGET.write_text(wanted)
        return 0
    if TARGET.read_text() == wanted:
        return 0
    print("web/client/src/wire.ts is not what the service's models say: make client-types", file=sys.stderr)
    return 1


def lines() -> Iterator[str]:
    document = describe("")
    yield HEAD
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield from declaration(name, schema)
    yield "/** The data of each stream of its own, by path. Publishers may send any JSON to the topics that take it. */"
    yield "export interface StreamData {"
    for path, schema in sorted(stream_schemas(document).items()):
        yield f"\t{json.dumps(path)}: {type_of(schema, 1)};"
    yield "}\n"
    yield "/** The data of each topic on `/v1/stream`; a room's topic is `chat:ROOM`. */"
    yield "export interface TopicData {"
    by_path = stream_schemas(document)
    for topic, path in {stream.topic.name: stream.path for stream in reversed(STREAMS)}.items():
        if path in by_path:
            name = f"[room: `{topic}:${{string}}`]" if topic == "chat" else topic
            yield f"\t{name}: {type_of(by_path[path], 1)};"
    yield "}\n"


def declaration(name: str, schema: Json) -> Iterator[str]:
    yield from doc(schema, 0)
    if schema.get("type") == "object" and "properties" in schema:
        yield f"export interface {name} {fields(schema, 0)}\n"
    else:
        yield f"export type {name} = {type_of(schema, 0)};\n"


def doc(schema: Json, depth: int) -> Iterator[str]:
    text = schema.get("description", "").replace("``", "`").replace("*/", "* /")
    if not text:
        return
    indent = "\t" * depth
    if "\n" not in text:
        yield f"{indent}/** {text} */"
        return
    yield f"{indent}/**"
    yield from (f"{indent} * {line}".rstrip() for line in text.splitlines())
    yield f"{indent} */"


def fields(schema: Json, depth: int) -> str:
    required = set(schema.get("required", ()))
    indent = "\t" * (depth + 1)
    body: list[str] = []
    for name, form in schema.get("properties", {}).items():
        body += doc(form, depth + 1)
        body.append(f"{indent}{key(name)}{'' if name in required else '?'}: {type_of(form, depth + 1)};")
    if schema.get("additionalProperties") is True:
        body.append(f"{indent}[further: string]: unknown;")
    return "\n".join(["{", *body, "\t" * depth + "}"])


def key(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)


SIMPLE = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def type_of(schema: Json, depth: int) -> str:
    """The TypeScript type of a JSON schema; what it does not know it leaves ``unknown``."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(REF)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(type_of(one, depth) for one in schema[several]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(SIMPLE[one] for one in kind)
    if kind == "array":
        item = type_of(schema.get("items", {}), depth)
        return f"({item})[]" if " " in item else f"{item}[]"
    if kind == "object":
        return object_type(schema, depth)
    return SIMPLE.get(kind or "", "unknown")


def object_type(schema: Json, depth: int) -> str:
    if schema.get("properties"):
        return fields(schema, depth)
    values = schema.get("additionalProperties")
    return f"Record<string, {type_of(values, depth) if isinstance(values, dict) else 'unknown'}>"


def stream_schemas(document: Json) -> dict[str, Json]:
    """The form of the data of each stream that tells one, by path."""
    found: dict[str, Json] = {}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            content = operation["responses"].get("200", {}).get("content", {})
            data = (
                content.get("text/event-stream", {})
                .get("x-itemSchema", {})
                .get("properties", {})
                .get("data", {})
            )
            if "contentSchema" in data:
                found[path] = data["contentSchema"]
    return found


if __name__ == "__main__":
    sys.exit(main())
