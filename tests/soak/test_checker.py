import json
from collections.abc import Sequence

from tests.soak.checker import WRONG, Checker, Fault, Promise, Received, Verdict

EVERYBODY = None


def promises(*ids: str, at: float = 0.0) -> list[Promise]:
    return [Promise(id_, f"data of {id_}", EVERYBODY, at) for id_ in ids]


def got(*ids: str, at: float = 1.0) -> list[Received]:
    return [Received(id_, f"data of {id_}", at) for id_ in ids]


def gap(after: str, id_: str, at: float = 1.0) -> Received:
    return Received(id_, json.dumps({"reason": "unknown"}), at, gap=True, after=after)


def verdict(
    said: Sequence[Promise],
    received: Sequence[Received],
    *,
    user: str | None = None,
    unsure: frozenset[str] = frozenset(),
    faults: Sequence[Fault] = (),
) -> Verdict:
    return Checker(said, set(unsure), faults).check([("reader", user, received)])


def wrong(found: Verdict) -> dict[str, int]:
    return {kind: found.counts[kind] for kind in WRONG if found.counts[kind]}


LOSSY = Fault("a file is damaged", 0.0, 10.0, lossy=True)
HARMLESS = Fault("a node is killed", 0.0, 10.0, lossy=False)


def test_whole_stream_is_right() -> None:
    found = verdict(promises("a-1", "a-2"), got("a-1", "a-2"))
    assert wrong(found) == {}
    assert found.counts["events"] == found.counts["received"] == 2


def test_event_that_never_came_is_lost() -> None:
    assert wrong(verdict(promises("a-1", "a-2", "a-3"), got("a-1", "a-3"))) == {"lost": 1}


def test_last_event_that_never_came_is_lost() -> None:
    assert wrong(verdict(promises("a-1", "a-2"), got("a-1"))) == {"lost": 1}


def test_event_for_others_is_not_missed() -> None:
    said = [*promises("a-1"), Promise("a-2", "for bob", frozenset({"bob"}), 0.0)]
    assert wrong(verdict(said, got("a-1"), user="ann")) == {}
    assert wrong(verdict(said, got("a-1"), user="bob")) == {"lost": 1}


def test_event_for_others_must_not_come() -> None:
    said = [Promise("a-1", "data of a-1", frozenset({"bob"}), 0.0)]
    assert wrong(verdict(said, got("a-1"), user="ann")) == {"not for this user": 1}


def test_event_that_came_twice_is_repeated() -> None:
    assert wrong(verdict(promises("a-1", "a-2"), got("a-1", "a-2", "a-1"))) == {"repeated": 1}


def test_events_in_another_order_are_out_of_order() -> None:
    assert wrong(verdict(promises("a-1", "a-2"), got("a-2", "a-1"))) == {"out of order": 1}


def test_event_with_other_data_is_changed() -> None:
    received = [Received("a-1", "data of a-2", 1.0), Received("a-2", "data of a-2", 1.0)]
    found = wrong(verdict(promises("a-1", "a-2"), received))
    assert found == {"changed": 1, "published twice": 1}


def test_event_under_two_ids_is_published_twice() -> None:
    received = [*got("a-1"), Received("a-2", "data of a-1", 1.0)]
    assert wrong(verdict(promises("a-1"), received, faults=[HARMLESS])) == {"published twice": 1}


def test_event_under_two_ids_is_no_fault_where_the_store_lost_its_keys() -> None:
    received = [*got("a-1"), gap("a-1", "b-0"), Received("b-1", "data of a-1", 1.0)]
    assert wrong(verdict(promises("a-1"), received, faults=[LOSSY])) == {}


def test_id_that_was_given_twice_is_found() -> None:
    said = [Promise("a-1", "one", EVERYBODY, 0.0), Promise("a-1", "another", EVERYBODY, 1.0)]
    assert wrong(verdict(said, [Received("a-1", "another", 2.0)])) == {"id given twice": 1}


def test_event_that_nobody_published_is_found() -> None:
    assert wrong(verdict([], got("a-1"))) == {"never published": 1}
    assert wrong(verdict([], got("a-1"), unsure=frozenset({"data of a-1"}))) == {}


def test_gap_excuses_what_lies_between_its_two_ends_only() -> None:
    said = promises("a-1", "a-2", "a-3", "a-4", "a-5")
    received = [*got("a-1"), gap("a-1", "a-3"), *got("a-5")]
    found = verdict(said, received, faults=[LOSSY])
    assert wrong(found) == {"lost": 1}
    assert found.counts["missing, told by a gap"] == 2


def test_gap_into_another_epoch_excuses_the_rest_of_the_old_one() -> None:
    said = [*promises("a-1", "a-2", at=0.0), *promises("b-1", "b-2", "b-3", at=2.0)]
    received = [*got("a-1", at=0.0), gap("a-1", "b-1", at=3.0), *got("b-2", at=4.0)]
    found = verdict(said, received, faults=[LOSSY])
    assert wrong(found) == {"lost": 1}  # b-3
    assert found.counts["missing, told by a gap"] == 2  # a-2, b-1


def test_gap_without_a_fault_that_loses_events_is_false() -> None:
    received = [*got("a-1"), gap("a-1", "a-1"), *got("a-2")]
    assert wrong(verdict(promises("a-1", "a-2"), received, faults=[HARMLESS])) == {"false gaps": 1}


def test_number_of_an_epoch_given_again_after_a_gap_is_repeated() -> None:
    received = [*got("a-1", "a-2"), gap("a-2", "a-1"), *got("a-2")]
    assert wrong(verdict(promises("a-1", "a-2"), received, faults=[LOSSY])) == {"repeated": 1}


def test_event_without_an_id_is_found() -> None:
    assert wrong(verdict([], [Received("", "data", 1.0)])) == {"without an id": 1}
