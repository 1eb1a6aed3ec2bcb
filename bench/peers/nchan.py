"""nchan as its users set it up, in one nginx process: ``/sub/A`` subscribes to a channel, ``/push/A`` publishes to it.

Checks no token. Needs nginx on PATH and its module (Debian: nginx-light, libnginx-mod-nchan).
"""

import os
import sys
import tempfile
from pathlib import Path

_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")

_CONFIGURATION = """
{module}
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr crit;
worker_rlimit_nofile 200000;
events {{ worker_connections 100000; use epoll; multi_accept on; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_requests 100000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  nchan_shared_memory_size 512M;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location ~ ^/sub/(.+)$ {{
      nchan_subscriber eventsource;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
    }}
    location ~ ^/push/(.+)$ {{
      nchan_publisher http;
      nchan_channel_id $1;
      nchan_message_buffer_length 1;
      nchan_message_timeout 5s;
    }}
  }}
}}
"""


def main() -> None:
    folder = tempfile.mkdtemp(prefix="nchan-")
    module = f"load_module {_MODULE};" if _MODULE.exists() else ""  # else it is built in
    text = _CONFIGURATION.format(module=module, folder=folder, port=sys.argv[1])
    path = Path(folder) / "nginx.conf"
    path.write_text(text)
    os.execvp("nginx", ["nginx", "-p", folder, "-c", str(path), "-e", "stderr"])


if __name__ == "__main__":
    main()
