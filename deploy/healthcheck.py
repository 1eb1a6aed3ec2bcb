"""Asks the service of this container whether it answers; ends with status 1 if it does not.

Not whether it is ready: a node that drains, or waits for Redis, is not to be killed for it.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

WITHIN_S = 4  # less than the HEALTHCHECK's own timeout


def main() -> int:
    host = os.environ.get("SSE_PUSH_HOST", "127.0.0.1")
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = HTTPConnection(own, int(os.environ.get("SSE_PUSH_PORT") or 8000), timeout=WITHIN_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        print(f"no answer: {error}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
