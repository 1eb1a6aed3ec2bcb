"""The configuration of deploy/nginx is without fault, and its numbers fit the service's."""

import re
import shutil
from pathlib import Path

from sse_push.handlers.http.guard import KEEPALIVE_S
from sse_push.handlers.http.head import MAX_FIELD_BYTES, MAX_TARGET_BYTES
from sse_push.service.settings import Settings
from tests.deploy.front import THROUGH_NGINX
from tests.deploy.nginx import CONFIG, Nginx, check

pytestmark = THROUGH_NGINX


async def test_configuration_has_no_fault(nginx: Nginx) -> None:
    said = [
        line for line in (await check(nginx)).splitlines() if "http2" not in line
    ]  # deprecated from 1.25.1 on
    assert said == []


async def test_configuration_fits_into_a_machines_own_nginx(nginx: Nginx, tmp_path: Path) -> None:
    """Debian's nginx.conf, in short: its directives of the http block stand there only once."""
    shutil.copytree(nginx.folder, tmp_path / "nginx")
    stock = """
        pid nginx.pid; events { worker_connections 768; }
        http {
            sendfile on; tcp_nopush on; types_hash_max_size 2048; default_type application/octet-stream;
            ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers on; gzip on;
            access_log access.log; error_log error.log;
            client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; scgi_temp_path s; uwsgi_temp_path u;
            include sse-push.conf;
        }"""
    (tmp_path / "nginx" / "nginx.conf").write_text(stock)
    other = Nginx(tmp_path / "other", [])
    other.folder = tmp_path / "nginx"
    said = [line for line in (await check(other)).splitlines() if "http2" not in line]
    assert said == []
    assert "include sse-push.conf;" in (CONFIG / "nginx.conf").read_text()


async def test_times_and_sizes_fit_the_service() -> None:
    text = (CONFIG / "sse-push.conf").read_text()
    settings = Settings(auth_mode="demo")

    def set_to(name: str) -> list[int]:
        found = re.findall(rf"^ +{name} (?:\d+ )?(\d+)([kshd]?);", text, re.MULTILINE)
        unit = {"": 1, "s": 1, "h": 3600, "d": 86_400, "k": 1024}
        return [int(number) * unit[suffix] for number, suffix in found]

    upstream, clients = set_to("keepalive_timeout")
    assert upstream < KEEPALIVE_S, "nginx would send a request on a connection that the node is closing"
    assert clients >= 60
    for timeout in (*set_to("proxy_read_timeout"), *set_to("send_timeout")):
        assert timeout >= 3 * settings.heartbeat_s
    assert set_to("client_header_timeout") == [settings.request_timeout_s]
    assert set_to("large_client_header_buffers")[0] >= max(MAX_FIELD_BYTES, MAX_TARGET_BYTES)
    [at_once] = re.findall(r"limit_conn sse_push_address (\d+);", text)
    assert int(at_once) > 2 * settings.max_connections_per_address
