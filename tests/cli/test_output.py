"""What is shown of a describe_refusal, and what of others' text reaches a terminal."""

import ssl
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from sse_push.cli.output import describe_error, describe_refusal, print_error
from sse_push.service.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünï 世 \\n", "plain, ünï 世 \\n"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x1b[2J\x07\x7f\x9b", "\\x1b[2J\\x07\\x7f\\x9b"),
        ("\u2028\0", "\\u2028\\x00"),
        ("a\u202eb\ud83d", "a\\u202eb\\ud83d"),
    ],
)
def test_visible_leaves_nothing_for_a_terminal_to_obey(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_say_takes_one_line_whatever_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_error("a\nforged: line")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "sse-push: a\\nforged: line\n")


async def _refused(response: web.Response) -> str:
    async def handle(request: web.Request) -> web.Response:
        return response

    app = web.Application()
    app.router.add_get("/", handle)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession() as session,
        session.get(server.make_url("/")) as answer,
    ):
        return await describe_refusal(answer)


@pytest.mark.parametrize(
    ("problem", "shown"),
    [
        ({"detail": "no", "request_id": "r1"}, "422 Unprocessable Entity: no (request r1)"),
        ({"detail": "no"}, "422 Unprocessable Entity: no"),
        ({"request_id": "r1"}, "422 Unprocessable Entity: (request r1)"),
        (
            {"detail": "2 faults", "errors": [{"index": 0, "detail": "a"}, {"index": 1, "detail": "b"}]},
            "422 Unprocessable Entity: 2 faults: a; b",
        ),
        ({"errors": "nonsense"}, "422 Unprocessable Entity"),
        ([1, 2], "422 Unprocessable Entity"),
    ],
)
async def test_refusal_shows_what_a_problem_document_says(problem: Any, shown: str) -> None:
    assert await _refused(web.json_response(problem, status=422, reason="Unprocessable Entity")) == shown


async def test_refusal_of_a_proxy_shows_its_status() -> None:
    page = web.Response(status=502, text="<h1>Bad Gateway</h1>", content_type="text/html")
    assert await _refused(page) == "502 Bad Gateway"


async def test_refusal_for_want_of_a_token_says_how_to_give_one() -> None:
    assert "--token" in await _refused(web.json_response({"detail": "no"}, status=401))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "no answer in time"),
        (aiohttp.ServerDisconnectedError(), "Server disconnected"),
        (aiohttp.ClientPayloadError(), "ClientPayloadError"),
    ],
)
def test_trouble_is_never_empty(error: Exception, said: str) -> None:
    assert describe_error(error) == said


async def test_trouble_with_a_certificate_says_how_to_trust_it() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    server = TestServer(web.Application(), host="localhost")
    await server.start_server(ssl=context)
    port = server.port
    async with server, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
            await session.get(server.make_url("/"))
    assert describe_error(caught.value) == (
        f"localhost:{port} has a certificate that is not trusted: unable to get local issuer certificate; "
        "SSL_CERT_FILE names certificates to trust"
    )
