"""Versions of the structures: their numbers hold over a restart."""

from pathlib import Path

import pytest

from monitor.decisions import CommandError, Decision, StructuresSaved, StructuresUsed
from monitor.structures import Offered
from monitor.versions import Versions
from tests.monitor.made import at


def offered(uid: str, seconds: float) -> Offered:
    return Offered(Path(uid), "1.9", uid, "", "", at(seconds))


def decision(what: StructuresSaved | StructuresUsed, seconds: float) -> Decision:
    return Decision(id=str(seconds), procedure_id="p", at=at(seconds), by="console", what=what)


def saved(number: int, seconds: float) -> Decision:
    what = StructuresSaved(version=number, series_instance_uid="1.2", file="f" * 64, structures=[])
    return decision(what, seconds)


def take(versions: Versions, made: Decision) -> list[str]:
    assert isinstance(made.what, StructuresSaved | StructuresUsed)
    return [one.sop_instance_uid for one in versions.take(made, made.what)]


def numbers(versions: Versions) -> dict[str, int | None]:
    return {key: versions.number_of(key) for key in ("1.1", "f" * 64, "1.3")}


def test_numbers_are_the_same_after_a_restart() -> None:
    live, again = Versions(Path()), Versions(Path())
    live.came(offered("1.1", 0))
    assert live.next_number == 2
    take(live, saved(2, 10))
    live.came(offered("1.3", 20))
    back = StructuresUsed(version=1, key="1.1")
    assert take(live, decision(back, 30)) == ["1.1"]
    take(again, saved(2, 10))
    assert take(again, decision(back, 30)) == []  # it has not come yet
    assert [one.at for one in again.came(offered("1.1", 0))] == [at(0), at(30)]
    again.came(offered("1.3", 20))
    assert numbers(live) == numbers(again) == {"1.1": 1, "f" * 64: 2, "1.3": 3}


def test_the_same_structure_set_sent_again_is_no_other_version() -> None:
    versions = Versions(Path())
    versions.came(offered("1.1", 0))
    versions.came(offered("1.1", 5))
    assert versions.next_number == 2


def test_what_can_not_be_decided() -> None:
    versions = Versions(Path())
    take(versions, saved(1, 0))
    for what, code in (
        (
            StructuresSaved(version=1, series_instance_uid="1", file="e", structures=[]),
            "version_taken",
        ),
        (StructuresUsed(version=2, key="1.1"), "no_such_version"),
        (StructuresUsed(version=1, key="1.1"), "no_such_version"),
    ):
        with pytest.raises(CommandError) as caught:
            versions.check(what)
        assert caught.value.code == code
    versions.refused("f" * 64, "It is none.")
    with pytest.raises(CommandError, match="It is none"):
        versions.check(StructuresUsed(version=1, key="f" * 64))
    (message,) = versions.messages("")
    assert (message.in_use, message.problem) == (False, "It is none.")
