"""Where in a request the token stands, and whose request it is."""

from sse_push.events.errors import Forbidden
from sse_push.handlers.cors import allows
from sse_push.handlers.http.request import AnyRequest
from sse_push.handlers.keys import NODE
from sse_push.service.identity import ANONYMOUS, Caller

COOKIE = "access_token"
_READING = frozenset(["GET", "HEAD", "OPTIONS"])


async def caller_of(request: AnyRequest) -> Caller:
    """Who is asking: by bearer token, else cookie, else ``?token=``. The first that is there decides.

    Raises:
        Unauthenticated: The token is not valid.
        Forbidden: A page of another site uses its visitor's cookie to command.
    """
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = given.strip()
    elif (cookie := request.cookies.get(COOKIE)) is not None:
        _refuse_other_sites(request)
        token = cookie
    elif (query := request.query.get("token")) is not None:
        token = query
    else:
        return ANONYMOUS
    tokens = request.app[NODE].tokens
    return tokens.recall(token) or await tokens.verify(token)


def _refuse_other_sites(request: AnyRequest) -> None:
    origin = request.headers.get("Origin")
    if request.method in _READING or origin is None:
        return
    own = origin in (f"http://{request.host}", f"https://{request.host}")
    if not own and not allows(request.app[NODE].settings, origin):
        raise Forbidden("a page of another site may not command with its visitor's cookie")
