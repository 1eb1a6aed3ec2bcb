"""One operation of an OpenAPI document as an article: parameters, bodies, answers, examples, a curl line.

Knows the document's form; knows no particular operation.
"""

import json
import re
import shlex
from typing import Any
from urllib.parse import quote, urlencode

from sse_push.handlers.description.html import Html, el, inline, join, prose
from sse_push.handlers.description.operations import EVENT_STREAM
from sse_push.handlers.description.schema_view import fields, type_of

Json = dict[str, Any]


def show_operation(document: Json, path: str, method: str, operation: Json) -> Html:
    parameters = [_resolve(document, one) for one in operation["parameters"]]
    return el(
        "article",
        el(
            "h3",
            el("a", method_mark(method), el("code", _breakable(path)), href=f"#{operation['operationId']}"),
        ),
        el(
            "div",
            el(
                "div",
                el("p", inline(operation["summary"]), class_="summary"),
                prose(operation["description"]),
                el("p", _token(operation["security"]), class_="note") if operation["security"] else None,
                _part("Parameters", [_parameter(one) for one in parameters]),
                _part("Body", _bodies(document, operation.get("requestBody", {}))),
                _part("Answers", _answers(document, operation["responses"])),
                class_="text",
            ),
            el(
                "div",
                code_block("curl", curl(path, method, operation, parameters), class_="curl"),
                _examples("Body", operation.get("requestBody", {}).get("content", {}), skip=1),
                _answer_examples(operation["responses"]),
                class_="code",
            ),
            class_="columns",
        ),
        id=operation["operationId"],
    )


def _breakable(path: str) -> Html:
    """A path that may wrap at its slashes."""
    return join(join(part, Html("<wbr>")) for part in re.split(r"(?<=/)", path))


def _token(security: list[Json]) -> str:
    if {} not in security:
        return "Needs a token."
    return "A token or a signature, where the settings want one." if {"signature": []} in security else "A token is optional."  # fmt: skip


def _part(title: str, content: list[Html]) -> Html | None:
    return join(el("h4", title), content) if content else None


def _parameter(one: Json) -> Html:
    return fields({one["name"]: {"description": one.get("description", ""), **one["schema"]}}, [one["name"]] if one.get("required") else [], where=one["in"])  # fmt: skip


def _bodies(document: Json, body: Json) -> list[Html]:
    made = []
    for media_type, media in body.get("content", {}).items():
        note = inline(media["schema"].get("description", ""))
        made.append(
            el("p", el("code", media_type), " ", type_of(media["schema"]), ". " if note else None, note)
        )
        made += [
            fields(form["properties"], form.get("required", []))
            for form in _named_in(document, media["schema"])[:1]
        ]
    return made


def _named_in(document: Json, schema: Json) -> list[Json]:
    """The objects that *schema* is, or may be."""
    choices = [schema, *schema.get("anyOf", [])]
    return [_resolve(document, choice) for choice in choices if "$ref" in choice]


def _answers(document: Json, responses: Json) -> list[Html]:
    said = [_answer(status, one) for status, one in responses.items() if "$ref" not in one]
    errors = [el("a", status, href=f"#error-{status}") for status, one in responses.items() if "$ref" in one]
    return [*said, el("p", "Errors: ", errors, class_="chips")] if errors else said


def _answer(status: str, response: Json) -> Html:
    types = [_media(media_type, media) for media_type, media in response.get("content", {}).items()]
    return join(el("p", el("b", status, class_="status"), " ", inline(response["description"])), el("ul", types) if types else None)  # fmt: skip


def _media(media_type: str, media: Json) -> Html:
    item = media.get("x-itemSchema")
    if item is None:
        return el("li", el("code", media_type), " ", type_of(media["schema"]))
    data = item["properties"]["data"]
    form = (
        type_of(data["contentSchema"]) if "contentSchema" in data else Html("what its topic's stream gives")
    )
    note = f" {data['description']}" if "description" in data else ""
    return el("li", el("code", media_type), " of ", form, ". ", inline(note))


def _answer_examples(responses: Json) -> Html:
    said = [(status, one) for status, one in responses.items() if "$ref" not in one]
    return join(_examples(f"Answer {status}", one.get("content", {})) for status, one in said)


def _examples(title: str, content: Json, skip: int = 0) -> Html:
    """Blocks of the examples of each media type, without the first *skip*, which are shown elsewhere."""
    blocks = []
    for media_type, media in content.items():
        named = media.get("examples") or {"": {"value": media.get("example")}}
        for name, example in named.items():
            caption = "Stream" if media_type == EVENT_STREAM else f"{title}, {name}" if name else title
            blocks.append(code_block(caption, shown(example["value"])))
    return join(blocks[skip:])


def shown(example: Any) -> str:
    return (
        example.rstrip("\n")
        if isinstance(example, str)
        else json.dumps(example, indent=2, ensure_ascii=False)
    )


def code_block(caption: str, text: str, class_: str | None = None) -> Html:
    return el("figure", el("figcaption", caption), el("pre", el("code", text)), class_=class_)


def curl(path: str, method: str, operation: Json, parameters: list[Json]) -> str:
    """A line for a shell that has ``BASE`` and ``TOKEN``."""
    given = {one["name"]: str(one.get("example", "")) for one in parameters if one.get("required")}
    url = re.sub(r"{(\w+)}", lambda found: quote(given.pop(found[1]), safe=""), path)
    query = f"?{urlencode(given, safe=',:')}" if given else ""
    streams = any(EVENT_STREAM in one.get("content", {}) for one in operation["responses"].values())
    other = "" if method in ("get", "post") else f" -X {method.upper()}"
    parts = [f'curl{" -N" if streams else ""}{other} "$BASE{url}{query}"']
    if operation["security"]:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    for media_type, media in operation.get("requestBody", {}).get("content", {}).items():
        named = media.get("examples") or {"": {"value": media.get("example")}}
        example = next(iter(named.values()))["value"]
        parts += [
            f'-H "Content-Type: {media_type}"',
            f"-d {shlex.quote(json.dumps(example, separators=(',', ':')))}",
        ]
        break
    return " \\\n  ".join(parts)


def method_mark(method: str) -> Html:
    return el("b", method.upper(), class_=f"method {method}")


def _resolve(document: Json, one: Json) -> Json:
    """*one*, or what it refers to within *document*."""
    if "$ref" not in one:
        return one
    found: Any = document
    for step in one["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)
