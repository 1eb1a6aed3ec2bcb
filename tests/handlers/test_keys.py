"""The keys under which the application and its requests keep things."""

from tests.conftest import Start


async def test_keys_lead_to_the_node_and_to_the_request_id(start: Start) -> None:
    service = await start(node_id="here")

    assert (await service.get("/system/status")).json["nodeId"] == service.node.id == "here"
    assert (await service.get("/nowhere", headers={"X-Request-ID": "mine"})).json["request_id"] == "mine"
