"""Forms of what handlers take and answer without a model: for the API description alone, nothing validates by them."""

from typing import Any, Final, Literal

from pydantic import BaseModel, Field

ID: Final = "k7f3q2xa-1024"  # of the examples; a real one differs in its epoch and number
MANY_TOPICS: Final = ("app", "notifications", "chat")  # of the example of /v1/stream


class Published(BaseModel):
    id: str = Field(description="The event's id: what `Last-Event-ID` takes.", examples=[ID])


class PublishedList(BaseModel):
    ids: list[str] = Field(description="In the order of the list.", examples=[[ID, "k7f3q2xa-1025"]])


class Health(BaseModel):
    status: Literal["ok"]


class RedirectInput(BaseModel):
    client_id: str | int = Field(alias="clientId", examples=["42"])
    url: str = Field(examples=["https://example.com/checkout"])


class RedirectParams(BaseModel):
    input: RedirectInput


class FunctionCall(BaseModel):
    """A call of a channel app function."""

    method: Literal["redirectClient"]
    params: RedirectParams
    context: dict[str, Any] = Field(
        default={}, description="Of the channel and its caller.", examples=[{"channel": {"id": "channel-id"}}]
    )


class FunctionValue(BaseModel):
    type: Literal["string"]
    attributes: dict[str, str] = Field(examples=[{"message": "Redirect command sent to client 42"}])


class FunctionResult(BaseModel):
    result: FunctionValue


class FunctionFault(BaseModel):
    type: Literal["CLIENT_NOT_CONNECTED", "METHOD_NOT_FOUND", "INVALID_PARAMS", "INTERNAL_ERROR", "PARSE_ERROR", "UNAUTHORIZED"]  # fmt: skip
    message: str


class FunctionError(BaseModel):
    error: FunctionFault


class VersionParams(BaseModel):
    version: str = Field(description="Any: all versions are answered alike.", examples=["v1"])


class ManyParams(BaseModel):
    topics: str = Field(
        description="Topics, with commas between them; a chat room's is `chat:ROOM`. May come several times; `%2C` is a comma within a name.",
        examples=["app,notifications,chat:general"],
    )


class Fault(BaseModel):
    index: int = Field(description="Of the event in a list; 0 where there is none.")
    detail: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    limit: str | None = Field(
        default=None,
        description="Of 429: `total`, `user`, `address`, `rate`, `login_account`, `login_address`, `logins` or `friends`.",
    )
    errors: list[Fault] | None = Field(default=None, description="Of 422: each fault.")
    outcome: Literal["not_published", "unknown"] | None = Field(
        default=None,
        description="Of 503: whether what was to be published may have been; a retry with the same idempotency key is safe.",
    )


class Gap(BaseModel):
    """The data of `event: sse.gap`: what was missed can't be given in full."""

    reason: Literal["expired", "unknown"]
    requested: str = Field(description="The `Last-Event-ID`.", examples=[ID])
    resumed_from: str | None = Field(
        description="The id of the first event that follows; null where none does.",
        examples=["k7f3q2xa-2048"],
    )


class Expired(BaseModel):
    """The data of `event: sse.expired`: the token has, or is not good any more, and the stream ends."""

    timestamp: str
