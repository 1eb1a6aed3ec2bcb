"""Redirects on topic `client`: by whatever way they are published, the rules of `/functions` hold."""

import json
from typing import Any

import pytest

from sse_push.events.errors import BadEvent
from sse_push.events.event import PushEvent
from sse_push.service.streams.client import NotificationEvent, RedirectEvent
from tests.conftest import Listen, Service, Start, mint

SERVICE = mint("p", "service")
GOOD = "https://shop.example.com/cart"
BAD = "javascript:alert(1)"


@pytest.fixture
async def service(start: Start) -> Service:
    return await start(redirect_origins="https://shop.example.com")


def redirect(url: Any = BAD, **more: Any) -> dict[str, Any]:
    return {"type": "redirect", "url": url, **more}


def event(data: Any, **more: Any) -> dict[str, Any]:
    return {"topic": "client", "data": data, **(more or {"userId": "c"})}


async def _publish(service: Service, body: bytes, **headers: str) -> tuple[int, Any]:
    answer = await service.post(
        "/v1/events", token=SERVICE, data=body, headers={"Content-Type": "application/json", **headers}
    )
    return answer.status, answer.json


@pytest.mark.parametrize(
    "data",
    [
        redirect(),
        redirect("JavaScript:alert(1)"),
        redirect(" javascript:alert(1)"),
        redirect("java\nscript:alert(1)"),
        redirect("data:text/html,<script>"),
        redirect("//evil.net"),
        redirect("/cart"),
        redirect("https://evil.net/"),
        redirect("http://shop.example.com/cart"),
        redirect("https://shop.example.com@evil.net/"),
        redirect("https://shop.example.com\\.evil.net/"),
        redirect([BAD]),
        redirect(None),
        redirect(""),
        {"type": "redirect"},
        {"Type": "Redirect", "URL": BAD},
        json.dumps(redirect()),
        " \r\n" + json.dumps(redirect()),
        json.dumps(redirect()).replace("r", "\\u0072"),
        json.dumps(redirect(n="\ud800")),
        json.dumps(redirect(n=[[[]]])).replace("[[[]]]", "[" * 5000 + "]" * 5000),
        json.dumps(redirect(n=1)).replace("1}", "1" * 5000 + "}"),
    ],
)
async def test_redirect_that_functions_would_refuse_is_refused(service: Service, data: Any) -> None:
    stream = await service.open("/sse/connect?clientId=c", token=mint("c"))

    for body in (
        event(data),
        event(data, broadcast=True),
        event(data, userIds=["c", "d"]),
        event(data, userId="c", key="k"),
    ):
        status, answer = await _publish(service, json.dumps(body).encode())
        assert (status, len(answer["errors"])) == (422, 1)
    status, answer = await _publish(service, json.dumps([event(1), event(data), event(2)]).encode())
    assert (status, [error["index"] for error in answer["errors"]]) == (422, [1])

    await service.publish(**event("the end"))
    assert (await stream.event()).data == "the end"


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"redirect","url":"javascript:1","url":"https://shop.example.com/"}',
        b'{"type":"redirect","url":"javascript:1","type":"custom"}',
        b'{"\\u0074ype":"\\u0072edirect","url":"javascript:1"}',
    ],
)
async def test_redirect_that_some_readers_see_is_refused(service: Service, data: bytes) -> None:
    status, _ = await _publish(service, b'{"topic":"client","userId":"c","data":%b}' % data)

    assert status == 422


@pytest.mark.parametrize(
    "data",
    [
        redirect(GOOD),
        json.dumps(redirect(GOOD)),
        {"type": "custom", "action": "open", "payload": redirect()},
        {"type": "notification", "message": json.dumps(redirect())},
        [redirect()],
        "javascript:alert(1)",
        "{no json",
        "",
        1,
        None,
    ],
)
async def test_what_is_a_good_redirect_or_none_reaches_its_client(service: Service, data: Any) -> None:
    stream = await service.open("/sse/connect?clientId=c", token=mint("c"))

    await service.publish(**event(data))

    got = await stream.event()
    assert got.data == data if isinstance(data, str) else got.json == data


async def test_data_of_other_topics_is_not_looked_at(service: Service) -> None:
    stream = await service.open("/v1/app/sse", token=mint("c"))

    await service.publish(userId="c", data=redirect())

    assert (await stream.event()).json == redirect()


async def test_line_with_a_bad_redirect_is_refused_alone(service: Service) -> None:
    lines = [event(redirect()), event(redirect(GOOD)), event(json.dumps(redirect()))]
    body = b"\n".join(json.dumps(line).encode() for line in lines)

    answer = await service.post(
        "/v1/events", token=SERVICE, data=body, headers={"Content-Type": "application/x-ndjson"}
    )

    assert [[*json.loads(line)] for line in answer.body.splitlines()] == [["error"], ["id"], ["error"]]


async def test_fast_path_refuses_a_bad_redirect_too(listen: Listen) -> None:
    listening = await listen(redirect_origins="https://shop.example.com")
    peer = await listening.connect()
    statuses = []
    for data in (1, redirect(), redirect(GOOD), json.dumps(redirect())):
        body = json.dumps(event(data)).encode()
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SERVICE}\r\nContent-Type: application/json\r\n"
        await peer.send(head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        statuses.append((await peer.answer())[0][9:12])

    assert statuses == ["200", "422", "200", "422"]


async def test_this_process_may_send_to_any_origin_and_to_no_script(service: Service) -> None:
    stream = await service.open("/sse/connect?clientId=c", token=mint("c"))
    clients = service.node.clients
    for push in (
        clients.send_to_client("c", RedirectEvent(url=BAD, timestamp="now")),
        clients.broadcast(RedirectEvent(url=BAD, timestamp="now")),
        service.node.pipeline.publish(PushEvent(topic="client", user_id="c", data=json.dumps(redirect()))),
        service.node.pipeline.publish(
            PushEvent(topic="client", broadcast=True, data=RedirectEvent(url=BAD, timestamp="now"))
        ),
    ):
        with pytest.raises(BadEvent):
            await push

    await clients.send_to_client("c", RedirectEvent(url="https://other.example.com/", timestamp="now"))
    await clients.broadcast(NotificationEvent(message="the end", timestamp="now"))
    assert (await stream.event()).json["url"] == "https://other.example.com/"
    assert (await stream.event()).json["message"] == "the end"
