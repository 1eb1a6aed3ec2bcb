"""Who publishes in the tests here, and how."""

from typing import Any

from tests.conftest import Answer, Service, mint

SERVICE = mint("publisher", "service")
OTHER = mint("another", "service")
ADMIN = mint("root", "admin")
GOOD = {"userId": "42", "data": 1}


async def post(service: Service, body: Any, token: str | None = SERVICE, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.post("/v1/events", token=token, json=body, headers=named)
