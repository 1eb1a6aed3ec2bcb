"""Routing keys: an event and a filter share one key when it is for it, none when it is not, never two."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_push.events.topics import MAX_NAME, Topic, as_name, event_keys, filter_keys, is_name

TOPICS = [
    Topic("app", whole=True),
    Topic("client"),
    Topic("chat", per_room=True),
    Topic("realtime", narrowed_by=("entityType", "entityId")),
    Topic("orders", whole=True, narrowed_by=("shop",)),
]
# Names made to look like each other's keys.
NAMES = ["1", "12", "*", "@1", "@*", "a=b", "entityType=1", "shop=1", "chat", "app", "a:b", " ", "é"]
names = st.sampled_from(NAMES)
ABOUTS = ["entityType", "entityId", "shop"]
values = st.one_of(
    names, st.integers(0, 12), st.booleans(), st.none(), st.just(1.0), st.just(["1"]), st.just("1\x1f@1"), st.just("x" * 200)
)  # fmt: skip
payloads = st.one_of(
    st.dictionaries(st.sampled_from(ABOUTS), values), st.none(), st.text(max_size=3), st.just(["entityType"])
)


@st.composite
def full_topics(draw: st.DrawFn) -> tuple[Topic, str]:
    topic = draw(st.sampled_from(TOPICS))
    return topic, f"{topic.name}:{draw(names)}" if topic.per_room else topic.name


@st.composite
def filters(draw: st.DrawFn) -> dict[str, Any]:
    topic, full_name = draw(full_topics())
    about = draw(st.dictionaries(st.sampled_from(topic.narrowed_by), names)) if topic.narrowed_by else {}
    user = draw(st.none() | names)
    return {
        "full_name": full_name,
        "user": user,
        "whole": topic.whole and draw(st.booleans()),
        "about": about,
    }


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    topic, full_name = draw(full_topics())
    users = draw(st.none() | st.lists(names, min_size=1, max_size=4, unique=True))
    return {"topic": topic, "full_name": full_name, "users": users, "data": draw(payloads)}


def is_for(event: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    """The rule itself, said plainly."""
    if event["full_name"] != where["full_name"]:
        return False
    for field, wanted in where["about"].items():
        data = event["data"]
        if not isinstance(data, dict) or type(data.get(field)) not in (str, int):
            return False
        if str(data[field]) != wanted:
            return False
    return where["whole"] or event["users"] is None or where["user"] in event["users"]


@given(events(), filters())
def test_event_and_filter_share_one_key_exactly_where_it_is_for_it(
    event: dict[str, Any], where: dict[str, Any]
) -> None:
    its = event_keys(event["topic"], event["full_name"], event["users"], event["data"])
    wanted = filter_keys(where["full_name"], where["user"], whole=where["whole"], about=where["about"])
    assert len(set(its)) == len(its)
    assert len(set(wanted)) == len(wanted)
    assert len(set(its) & set(wanted)) == int(is_for(event, where))


@given(events(), st.data())
def test_event_reaches_each_of_its_own_filters_once(event: dict[str, Any], data: st.DataObject) -> None:
    """The same with filters made to fit, which random ones seldom do."""
    topic = event["topic"]
    fitting = {
        field: str(value)
        for field in topic.narrowed_by
        if isinstance(event["data"], dict)
        and type(value := event["data"].get(field)) in (str, int)
        and str(value) in NAMES
    }
    about = {field: value for field, value in fitting.items() if data.draw(st.booleans())}
    whole = topic.whole and data.draw(st.booleans())
    user = data.draw(st.sampled_from(event["users"] or NAMES))
    its = event_keys(topic, event["full_name"], event["users"], event["data"])
    assert len(set(its) & set(filter_keys(event["full_name"], user, whole=whole, about=about))) == 1


def test_filter_without_user_takes_only_what_is_for_everybody() -> None:
    topic = Topic("client")
    wanted = set(filter_keys("client", None))
    assert not wanted & set(event_keys(topic, "client", ["1"]))
    assert len(wanted & set(event_keys(topic, "client", None))) == 1


def test_number_in_the_data_matches_its_text_in_the_filter() -> None:
    topic = Topic("realtime", narrowed_by=("entityType", "entityId"))
    its = event_keys(topic, "realtime", None, {"entityType": "order", "entityId": 42})
    assert set(its) & set(filter_keys("realtime", None, about={"entityId": "42"}))
    assert set(its) & set(filter_keys("realtime", None, about={"entityType": "order", "entityId": "42"}))
    assert not set(its) & set(filter_keys("realtime", None, about={"entityId": "4"}))


@pytest.mark.parametrize(
    "text", ["a", "x" * MAX_NAME, "é" * MAX_NAME, " ", "a b", "*", "@", "a/b", "\x80", "\u2028"]
)
def test_name_takes(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize(
    "text", ["", "x" * (MAX_NAME + 1), "a\n", "\n", "a\rb", "\x00", "\x1f", "\x7f", "a\tb"]
)
def test_name_refuses(text: str) -> None:
    assert not is_name(text)


@pytest.mark.parametrize(("value", "text"), [(42, "42"), ("42", "42"), (0, "0"), (-1, "-1"), ("é", "é")])
def test_number_as_a_name_is_its_text(value: object, text: str) -> None:
    assert as_name(value) == text


@pytest.mark.parametrize("value", [None, True, False, 1.5, "", "a\n", [], {}, b"x", "x" * 129, 10**200])
def test_what_is_no_name_is_none(value: object) -> None:
    assert as_name(value) is None
