"""The table of kinds: what the ledger names, what lies in what, and the order of deleting."""

from __future__ import annotations

from metamcp_deploy.converge.kinds import GROUPS, PARTS
from metamcp_deploy.converge.part import Kind
from metamcp_deploy.converge.parts.lakebase.part import LakebasePart
from metamcp_deploy.converge.parts.scope import Scope
from metamcp_deploy.target import databases
from metamcp_deploy.target.ledger import Intent, Ledger
from metamcp_deploy.workspace import Workspace

KINDS = [kind for part in PARTS for kind in part.kinds]
BRANCH = "projects/p/branches/main"


def test_each_kind_is_in_one_part_and_lies_in_kinds_of_that_part() -> None:
    names = [kind.name for kind in KINDS]
    assert sorted(names) == sorted(set(names))
    assert set(PARTS) == {part for group in GROUPS for part in group}
    for part in PARTS:
        assert {outer for kind in part.kinds for outer in kind.inside} <= {kind.name for kind in part.kinds}


def test_a_database_has_a_part_that_records_what_its_settings_state() -> None:
    """A kind that is made in the workspace is one of the ledger's."""
    recorded = {kind.name for kind in KINDS if kind.section == "database"}
    found = databases.attached([{"database": {"instance_name": "i", "database_name": "d"}}])
    assert set(found.stated) <= recorded
    assert set(databases.attached([{"postgres": {"branch": BRANCH}}]).stated) <= recorded


def test_with_a_thing_goes_what_is_inside_it() -> None:
    made = {
        "project": ("projects/p", "projects/q"),
        "branch": (BRANCH,),
        "database": (f"{BRANCH}/databases/d",),
    }
    kept = Ledger(made, {"role": {f"{BRANCH}/roles/r": Intent("me", "")}})
    inside = [(kind.name, name) for kind, name in LakebasePart.contents(kept, "project", "projects/p")]
    assert inside == [("database", made["database"][0]), ("role", f"{BRANCH}/roles/r"), ("branch", BRANCH)]
    assert LakebasePart.contents(kept, "project", "projects/q") == []


def test_only_what_exists_and_lies_in_nothing_of_ours_is_deleted_by_name() -> None:
    made = {
        "branches": ("projects/p/branches/r",),
        "branch": (BRANCH,),
        "endpoint": (f"{BRANCH}/endpoints/e",),
    }
    workspace = Workspace.__new__(Workspace)  # asked for nothing

    def found(exists: bool, **more: tuple[str, ...]) -> list[str]:
        def looked(kind: Kind, name: str) -> bool:
            return exists

        return [k.name for k, _ in LakebasePart.deletable(workspace, Ledger({**made, **more}), looked)]

    assert found(True) == ["branches", "branch"]
    assert found(False) == []
    assert found(True, project=("projects/p",)) == ["project"]
    assert found(True, branch=()) == ["branches"]  # an endpoint is not deleted by itself
    assert [kind.name for kind in Scope.kinds] == ["secrets", "scope"]
