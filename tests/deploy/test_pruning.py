"""Which releases stay in the workspace, and deleting the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.deployments import pruning
from metamcp_deploy.deployments.records import Record
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import releases
from metamcp_deploy.rollback import execution
from metamcp_deploy.rollback.preparation import Wishes
from metamcp_deploy.target import session
from metamcp_deploy.workspace.apps import App
from tests.deploy.tiny_app import APP, write_bundle

Deploy = Callable[..., pipeline.Facts]


def record(number: int, **more: Any) -> Record:
    raw = {"deployment": f"d{number}", "at": f"2026-11-20T12:{number:02}:00Z", "release": f"r{number}"}
    return Record(f"/{number}", {**raw, "env": [], "resources": [], "outcome": "SUCCEEDED", **more})


def keeping(project: Project, keep: int) -> Project:
    dump = project.settings.model_dump(by_alias=True)
    return replace(project, settings=Settings.model_validate({**dump, "releases": {"keep": keep}}))


def test_the_newest_and_what_is_needed_stay() -> None:
    there = ["r1", "r2", "r3", "r4", "never", "half"]
    used = {f"r{n}": f"2026-11-20T12:0{n}:00Z" for n in range(1, 5)}
    sent = {"never": "2026-11-20T12:03:30Z", "half": None}
    found = pruning.ranked(there, used, sent, {"r1": "runs"}, 2)
    assert [(one.id, one.stays) for one in found] == [
        ("r4", "one of the newest"),
        ("never", "one of the newest"),
        ("r3", ""),
        ("r2", ""),
        ("r1", "runs"),
        ("half", ""),
    ]
    assert [(one.id, one.complete, one.deployed) for one in found[-2:]] == [
        ("r1", True, True),
        ("half", False, False),
    ]
    assert pruning.plan(found).as_dict()["counts"] == {"delete": 3, "keep": 3}


def test_what_is_needed() -> None:
    path = "/Workspace/x/releases"
    app = App(
        {
            "name": "x",
            "active_deployment": {"deployment_id": "d4", "source_code_path": f"{path}/r1"},
            "pending_deployment": {"deployment_id": "d5", "source_code_path": f"{path}/r9"},
        }
    )
    kept = [record(4, kind="rollback", of="d2", release="r1"), record(3), record(2), record(1, release="r0")]
    assert pruning.needed(kept, app) == {
        "r0": "what a rollback goes back to",
        "r1": "runs",
        "r9": "under way",
    }
    assert pruning.needed(kept, None)["r1"] == "deployed last"
    assert pruning.needed([], None) == {}
    assert pruning.needed([record(2, kind="destroy", release=""), record(1)], None) == {}


@pytest.fixture
def several(project: Project, deployed: Deploy) -> tuple[Project, list[str]]:
    """Four releases, deployed one after the other, of which at most two are kept."""
    few = keeping(project, 2)
    ids = []
    for number in range(4):
        ids.append(write_bundle(few, APP + f"// {number}"))
        deployed(few)
    return few, ids


def test_a_deployment_deletes_the_oldest(several: tuple[Project, list[str]], deployed: Deploy) -> None:
    project, ids = several
    site = session.site(project)
    assert [one.id for one in pruning.look(site)] == [ids[3], ids[2]]
    execution.run(site, Wishes())  # what it goes back to is there
    write_bundle(project, APP + "// 4")
    deployed(project)
    stored = {one.id: one.stays for one in pruning.look(site)}
    assert set(stored) == {ids[2], releases.built(project).id}
    assert all(stored.values())
    assert releases.is_complete(site.workspace, site.root, ids[2])


def test_what_an_upload_left_behind(project: Project, deployed: Deploy, emitted: list[events.Event]) -> None:
    facts = deployed(project)
    site = session.site(project)
    left = f"{site.root}/releases/{'0' * 16}"
    site.workspace.files.make_folder(left)
    site.workspace.files.write(f"{left}/start.mjs", b"cut off")
    assert [(one.id, one.stays) for one in pruning.prune(site)] == [
        (facts["release"], "runs"),
        ("0" * 16, ""),
    ]
    assert [one.id for one in pruning.look(site)] == [facts["release"]]
    assert ("deleted", "release", "0" * 16) in [
        (e.action, e.kind, e.name) for e in emitted if isinstance(e, events.Changed)
    ]
    assert site.workspace.files.read(f"{site.root}/state/deploy.lock") is None


def test_a_failure_to_prune_stops_nothing(
    project: Project, emitted: list[events.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = session.site(project)

    def refused(path: str) -> None:
        raise DeployError(Code.PERMISSION_DENIED, f"{path} may not be listed.", hint="ask")

    monkeypatch.setattr(site.workspace.files, "entries", refused)
    pruning.after_deployment(site)
    assert [e.text for e in emitted if isinstance(e, events.Warned)] == [
        f"Old releases were not deleted: {site.root}/releases may not be listed."
    ]
