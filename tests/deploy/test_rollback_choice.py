"""Which deployment a rollback goes back to, and whether the database moved on since."""

from __future__ import annotations

from typing import Any

import pytest

from metamcp_deploy.deployments import rollback_target, schema_changes
from metamcp_deploy.deployments.records import Record
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import databases

HISTORY = "metamcp-deploy history -t dev"
PRODUCTION = "projects/p/branches/production/databases/d"


def record(number: int, **more: Any) -> Record:
    """The deployment of a release of its own, `d1111`, `d2222`, …, a minute after the one before."""
    raw = {
        "deployment": f"d{str(number) * 4}",
        "at": f"2026-11-20T12:{number:02}:00Z",
        "release": f"r{number}",
        "env": [],
        "resources": [{"name": "database", "postgres": {"branch": "b", "database": PRODUCTION}}],
        "outcome": "SUCCEEDED",
        "migrations": ["0000_a"],
        **more,
    }
    return Record(f"/{number}", raw)


def chosen(records: list[Record], running: str | None, named: str | None = None) -> str:
    return rollback_target.choose(records, running, named, HISTORY).deployment


def refused(records: list[Record], running: str | None, named: str | None = None) -> str:
    with pytest.raises(DeployError) as caught:
        rollback_target.choose(records, running, named, HISTORY)
    assert caught.value.code is Code.NOT_FOUND
    assert caught.value.hint.startswith(HISTORY)
    return caught.value.message


def test_the_one_before() -> None:
    assert chosen([record(2), record(1)], "d2222") == "d1111"
    assert chosen([record(2), record(1)], None) == "d1111"  # a stop can make the platform forget


def test_the_one_before_in_the_same_second() -> None:
    at = "2026-11-20T12:00:00Z"
    assert chosen([record(2, at=at), record(1, at=at)], "d2222") == "d1111"


def test_nothing_before() -> None:
    assert "no earlier good" in refused([record(1)], "d1111")
    assert "no earlier good" in refused([], None)
    assert "no earlier good" in refused([record(2), record(1, outcome="FAILED")], "d2222")


def test_the_same_again_is_nothing_to_go_back_to() -> None:
    same = {"release": "r1"}
    assert "no earlier" in refused([record(2, **same), record(1)], "d2222")
    assert chosen([record(3, **same), record(2), record(1)], "d3333") == "d2222"


@pytest.mark.parametrize("outcome", ["FAILED", "UNHEALTHY", "IN_PROGRESS"])
@pytest.mark.parametrize("running", ["d3333", "d2222", None])
def test_after_a_failure_what_ran_before_it(outcome: str, running: str | None) -> None:
    assert chosen([record(3, outcome=outcome), record(2), record(1)], running) == "d2222"


def test_twice_goes_further_back() -> None:
    back = record(4, kind="rollback", of="d2222", release="r2")
    records = [back, record(3), record(2), record(1)]
    assert chosen(records, "d4444") == "d1111"
    assert chosen(records, "d4444", "d3333") == "d3333"  # and forward again by name


def test_after_somebody_deployed_by_hand_the_newest_good_one() -> None:
    assert chosen([record(2), record(1)], "somebody's") == "d2222"


def test_by_name() -> None:
    records = [record(2), record(1, outcome="FAILED"), record(3, deployment="d22999")]
    assert chosen(records, None, "d2222") == "d2222"
    assert "2 deployments" in refused([record(2), record(3, deployment="d22229")], None, "d222")
    assert "No deployment" in refused(records, None, "d2")
    assert "No deployment" in refused(records, None, "nope")
    assert "never ran well" in refused(records, None, "d1111")


def test_what_was_destroyed_does_not_come_back() -> None:
    records = [record(3), record(2, kind="destroy"), record(1)]
    assert [r.deployment for r in rollback_target.since_destroyed(records)] == ["d3333"]


def test_the_schema_did_not_move() -> None:
    assert not schema_changes.since(record(1), [record(2), record(1)])
    assert not schema_changes.since(
        record(1, migrations=None), [record(2, release="r1", migrations=None), record(1)]
    )


def test_migrations_that_the_older_release_does_not_know() -> None:
    more = ["0000_a", "0001_b", "0002_c"]
    records = [
        record(4, migrations=more),
        record(3, migrations=more[:2], outcome="FAILED"),
        record(2),
        record(1),
    ]
    moved = schema_changes.since(records[-1], records)
    assert moved.names == ("0001_b", "0002_c")
    assert moved.first is records[1]  # also a deployment that failed may have migrated
    assert schema_changes.since(records[0], records).names == ()


def test_a_database_that_was_left_counts_by_itself() -> None:
    branch = [
        {"name": "database", "postgres": {"branch": "r", "database": "projects/p/branches/r/databases/d"}}
    ]
    newer = record(2, migrations=["0000_a", "0001_b"])
    back = record(3, kind="rollback", of="d1111", release="r1", resources=branch)
    ahead = record(4, resources=branch, migrations=["0000_a", "0001_b", "0002_c"])
    assert schema_changes.since(record(1), [back, newer, record(1)]).names == ("0001_b",)
    assert schema_changes.since(back, [ahead, back, newer, record(1)]).names == ("0001_b", "0002_c")
    assert schema_changes.since(newer, [ahead, back, newer, record(1)]).names == ()


def test_what_was_not_recorded_is_not_guessed() -> None:
    records = [record(3), record(2, migrations=None), record(1)]
    moved = schema_changes.since(records[-1], records)
    assert (bool(moved), moved.names, moved.unrecorded) == (True, (), ("d2222",))
    assert schema_changes.since(
        record(1, migrations=None), [record(2), record(1, migrations=None)]
    ).unrecorded == ("d1111",)


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ({"postgres": {"branch": "b", "database": PRODUCTION}}, PRODUCTION),
        ({"database": {"instance_name": "i", "database_name": "d"}}, "i/d"),
        ({"secret": {"scope": "s", "key": "k"}}, ""),
    ],
)
def test_databases_of_each_kind(resource: dict[str, Any], name: str) -> None:
    assert databases.attached([resource]).identity == name
