"""``GET /docs``: the API description as one page that needs neither scripts nor another server.

Made of nothing but the OpenAPI document, whatever is in it. Knows how to show; what is so, the document
knows.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Any

from aiohttp import web

from sse_push.handlers import openapi
from sse_push.handlers.description.html import Html, el, join, prose
from sse_push.handlers.description.operation_view import code_block, method_mark, show_operation, shown
from sse_push.handlers.description.schema_view import fields
from sse_push.handlers.keys import NODE
from sse_push.handlers.openapi import Representation, describe, representation, served
from sse_push.service.hosts import local_url
from sse_push.service.settings import Settings

Json = dict[str, Any]

_ICON = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
    "<path d='M1 8h4l2-5 3 10 2-5h3' fill='none' stroke='%230b7285' stroke-width='1.6'/></svg>"
)
_DEMO_TOKEN = "TOKEN=$(printf 42:ada:ada@example.com:user,admin | base64)"
_JWT_TOKEN = "TOKEN=$(sse-push token 42 --role admin)"


def routes() -> list[web.RouteDef]:
    return [web.get("/docs", docs)]


async def docs(request: web.Request) -> web.Response:
    node = request.app[NODE]
    return served(request, _page(node.version, base_url(node.settings)))


def base_url(settings: Settings) -> str:
    """Where curl on the same machine finds this node."""
    return local_url(settings.hosts, settings.port) or "http://localhost"


@lru_cache(maxsize=4)
def _page(version: str, base: str) -> Representation:
    style = files("sse_push.handlers.description").joinpath("docs.css").read_text(encoding="utf-8")
    page = render(describe(version), base, style)
    return representation(
        page.encode(),
        "text/html; charset=utf-8",
        **{"Content-Security-Policy": _policy(style), "Referrer-Policy": "no-referrer"},
    )


def _policy(style: str) -> str:
    """Nothing may be loaded or run but this very style and the icon within the page."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def render(document: Json, base: str, style: str) -> str:
    """The page of *document*.

    Args:
        base: The URL that the curl lines begin with.
        style: The page's style sheet.
    """
    title = f"{document['info']['title']} API"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("link", rel="icon", href=_ICON),
        el("style", Html(style)),
    )
    body = el(
        "body",
        el("a", "Skip to the content", class_="skip", href="#content"),
        _navigation(document),
        el(
            "main",
            _start(document, base),
            (_group(document, tag) for tag in document["tags"]),
            _errors(document),
            _schemas(document),
            id="content",
        ),
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n"


def _operations(document: Json, tag: str) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield path, method, operation


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def _navigation(document: Json) -> Html:
    groups = [
        el(
            "li",
            el("a", tag["name"], href=f"#{_anchor(tag['name'])}"),
            el("ul", (el("li", _link(*one)) for one in _operations(document, tag["name"]))),
        )
        for tag in document["tags"]
    ]
    start, errors, schemas = (
        el("li", el("a", text, href=f"#{anchor}"))
        for text, anchor in (("Start", "start"), ("Errors", "errors"), ("Schemas", "schemas"))
    )
    name = el(
        "a", document["info"]["title"], el("small", document["info"]["version"]), class_="name", href="#start"
    )
    return el("nav", name, el("ul", start, groups, errors, schemas), aria_label="Contents")


def _link(path: str, method: str, operation: Json) -> Html:
    return el("a", method_mark(method), el("span", path), href=f"#{operation['operationId']}")


def _start(document: Json, base: str) -> Html:
    return el(
        "section",
        el("h1", document["info"]["title"], el("small", document["info"]["version"])),
        el(
            "div",
            el(
                "div",
                prose(document["info"]["description"]),
                el("p", "For programs: ", el("a", openapi.PATH, href=openapi.PATH), f" (OpenAPI {document['openapi']})."),
                class_="text",
            ),
            el(
                "div",
                code_block("A token, in demo mode", f"BASE={base}\n{_DEMO_TOKEN}"),
                code_block("A token, with SSE_PUSH_JWT_SECRET set", f"BASE={base}\n{_JWT_TOKEN}"),
                el("p", "Every curl line below takes these two variables, for user 42.", class_="note"),
                class_="code",
            ),
            class_="columns",
        ),
        id="start",
    )  # fmt: skip


def _group(document: Json, tag: Json) -> Html:
    articles = (show_operation(document, *one) for one in _operations(document, tag["name"]))
    return el("section", el("h2", tag["name"]), prose(tag["description"]), articles, id=_anchor(tag["name"]))


def _errors(document: Json) -> Html:
    return el(
        "section", el("h2", "Errors"), map(_error, document["components"]["responses"].values()), id="errors"
    )


def _error(response: Json) -> Html:
    [(media_type, media)] = response["content"].items()
    example = media["example"]
    headers = [el("code", name) for name in response["headers"] if name != "X-Request-ID"]
    says = join(prose(response["description"]), el("p", "With ", headers, ".") if headers else None)
    title = el("h3", el("b", str(example["status"]), class_="status"), " ", example["title"])
    columns = (
        el("div", says, class_="text"),
        el("div", code_block(media_type, shown(example)), class_="code"),
    )
    return el("article", title, el("div", columns, class_="columns"), id=f"error-{example['status']}")


def _schemas(document: Json) -> Html:
    schemas = document["components"]["schemas"]
    return el(
        "section",
        el("h2", "Schemas"),
        (_schema(name, schemas[name]) for name in sorted(schemas)),
        id="schemas",
    )


def _schema(name: str, schema: Json) -> Html:
    return el(
        "article",
        el("h3", name),
        prose(schema.get("description", "")),
        fields(schema.get("properties", {}), schema.get("required", [])),
        class_="schema",
        id=f"schema-{name}",
    )
