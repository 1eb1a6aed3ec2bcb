"""A service whose personas speak by a language model's server."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Service, Start
from tests.model_server import SECRET, ModelServer

PERSONAS = """
[[persona]]
id = 1
name = "Ada"
prompt = "You are Ada."
model = "ada"

[[persona]]
id = 7
name = "Basil"
prompt = "You are Basil."
model = "basil"
"""


@pytest.fixture
def with_model(start: Start, model_server: ModelServer, tmp_path: Path) -> Callable[..., Awaitable[Service]]:
    """Starts a service whose two personas speak by *model_server*."""
    path = tmp_path / "personas.toml"
    path.write_text(PERSONAS)

    async def starting(**settings: Any) -> Service:
        return await start(ai_base_url=model_server.url, ai_api_key=SECRET, personas_file=path, **settings)

    return starting
