"""The topics that a request for ``/v1/stream`` names: in its query, or where those are many or long in its body."""

from urllib.parse import unquote_plus

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from sse_push.events.errors import BadRequest
from sse_push.events.topics import unknown_topics
from sse_push.handlers.bodies import read_model
from sse_push.handlers.http.request import AnyRequest
from sse_push.service.streams import BY_TOPIC, Stream

MAX_TOPIC_SHOWN = 64  # characters of a topic that is unknown
_FIELD = "topics"


class ManyTopics(BaseModel):
    """Topics of one stream."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    topics: list[str] = Field(min_length=1, description="The topics.", examples=[["app", "chat:a, b & c"]])
    last_event_id: str | None = Field(
        default=None,
        alias="lastEventId",
        description="The last id that was seen; the header `Last-Event-ID` wins.",
    )


async def topics_of(request: AnyRequest, limit: int) -> tuple[list[str], str | None]:
    """The topics that *request* names, each once, and the id it has seen, if its body says so.

    Raises:
        BadRequest: There are none, or more than *limit*; or the body is no JSON.
        InvalidBody: The body is of another form.
    """
    last_id = None
    if isinstance(request, web.Request) and request.method in ("POST", "QUERY"):
        body, _ = await read_model(request, ManyTopics)
        named, last_id = body.topics, body.last_event_id
    else:
        named = in_query(request.rel_url.raw_query_string)
    topics = list(dict.fromkeys(filter(None, named)))
    if not topics:
        raise BadRequest("topics is required: a comma-separated list")
    if len(topics) > limit:
        raise BadRequest(f"{len(topics)} topics are over the limit of {limit}")
    return topics, last_id


def in_query(query: str) -> list[str]:
    """The topics of a query as it was sent: a comma parts two of them, and ``%2C`` is one within a name.

    A name that is no topic's but holds commas is a list that was encoded as a whole, as URLSearchParams does.
    """
    named: list[str] = []
    for field in query.split("&"):
        name, _, value = field.partition("=")
        if unquote_plus(name) != _FIELD:
            continue
        for text in map(unquote_plus, value.split(",")):
            named += [text] if "," not in text or _stream_of(text) is not None else text.split(",")
    return named


def streams_of(topics: list[str]) -> list[tuple[Stream, str | None]]:
    """The streams that give *topics*, and their rooms.

    Raises:
        BadRequest: Some are none; it names them.
    """
    unknown = [topic for topic in topics if _stream_of(topic) is None]
    if unknown:
        shown = ", ".join(repr(topic[:MAX_TOPIC_SHOWN]) for topic in unknown)
        raise BadRequest(unknown_topics(shown, [stream.topic for stream in BY_TOPIC.values()]))
    return [found for topic in topics if (found := _stream_of(topic)) is not None]


def _stream_of(full_name: str) -> tuple[Stream, str | None] | None:
    name, colon, room = full_name.partition(":")
    stream = BY_TOPIC.get(name)
    if stream is None or stream.topic.per_room != bool(colon):
        return None
    return stream, room if colon else None
