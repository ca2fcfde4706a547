"""What ran on a target, as records and workspace tell it together."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import events, pipeline
from metamcp_deploy.cli.history import shown
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.deployments import history, records
from metamcp_deploy.deployments.records import Record
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import locate, session
from metamcp_deploy.workspace.apps import App, Deployment
from tests.deploy.tiny_app import with_app

Deploy = Callable[..., pipeline.Facts]


def known(deployment: str, second: int, state: str = "SUCCEEDED", path: str = "") -> Deployment:
    at = f"2026-11-20T12:00:{second:02}Z"
    raw: dict[str, Any] = {"deployment_id": deployment, "create_time": at, "creator": "ui@example.com"}
    return Deployment({**raw, "status": {"state": state}, "source_code_path": path})


def kept(deployment: str, second: int, **more: Any) -> Record:
    raw = {"deployment": deployment, "at": f"2026-11-20T12:00:{second:02}Z", "by": "ada@example.com"}
    return Record(f"/{deployment}.json", {**raw, "release": "a" * 16, "outcome": "SUCCEEDED", **more})


def test_records_and_the_workspace_together() -> None:
    app = App({"name": "x", "active_deployment": {"deployment_id": "d3"}})
    path = f"/Workspace/Shared/metamcp/releases/{'b' * 16}"
    entries = history.merged(
        app,
        [known("d4", 4, "FAILED", "/Workspace/Users/u/other"), known("d3", 3, path=path), known("d2", 2)],
        [kept("d2", 2, outcome="IN_PROGRESS"), kept("d1", 1), kept("d3", 30, kind="rollback", of="d1")],
    )
    assert [e.deployment for e in entries] == ["d4", "d3", "d2", "d1"]
    by_hand, running, interrupted, forgotten = entries
    assert (by_hand.kind, by_hand.by, by_hand.outcome) == ("by hand", "ui@example.com", "FAILED")
    assert by_hand.release is None
    assert (running.runs, running.kind, running.of) == (True, "rollback", "d1")
    assert interrupted.outcome == "SUCCEEDED"  # the run that should have written it was killed
    assert (forgotten.known, forgotten.outcome) == (False, "SUCCEEDED")
    assert sum(e.runs for e in entries) == 1


def test_deployments_of_one_time_stay_as_the_workspace_lists_them() -> None:
    listed = [known("d3", 5), known("d2", 5), known("d1", 5)]
    by_hand_last = history.merged(None, listed, [kept("d1", 5), kept("d2", 5)])
    assert [e.deployment for e in by_hand_last] == ["d3", "d2", "d1"]
    by_hand_first = history.merged(None, [known("d3", 5), known("d1", 5)], [kept("d3", 5)])
    assert [e.deployment for e in by_hand_first] == ["d3", "d1"]


def test_a_record_of_the_first_format_is_read() -> None:
    old = {
        "format": 1,
        "deployment": "d1",
        "at": "2026-01-02T03:04:05Z",
        "by": "ada@example.com",
        "release": "a" * 16,
        "source_code_path": "/r",
        "env": [],
        "resources": [],
        "secrets": {},
        "outcome": "SUCCEEDED",
    }
    record = Record("/x", old)
    assert (record.kind, record.pin, record.migrations, record.of) == ("deploy", None, None, None)
    assert records.matches(record, record.wanted)
    entry = history.merged(None, [], [record])[0]
    assert (entry.runs, entry.known, entry.kind) == (False, False, "deploy")


def test_deployments_of_an_app(
    project: Project, deployed: Deploy, folder: Path, emitted: list[events.Event]
) -> None:
    site = session.site(project)
    assert history.look(site) == []
    first = deployed(project, message="the first")
    second = deployed(with_app(project, env={"LOG_LEVEL": "debug"}))
    by_hand = site.workspace.apps.deploy(first["app"], f"{site.root}/releases/{first['release']}", [])
    assert by_hand.id
    site.workspace.files.write(f"{site.root}/deployments/20200101T000000Z-x.json", b"{}")
    entries = history.look(site)
    assert [e.deployment for e in entries] == [by_hand.id, second["deployment"], first["deployment"]]
    assert [e.kind for e in entries] == ["by hand", "deploy", "deploy"]
    assert (entries[2].message, entries[2].by) == ("the first", "developer@example.com")
    assert entries[0].release == first["release"]
    assert any(isinstance(e, events.Warned) and "20200101" in e.text for e in emitted)
    assert len(history.look(site, 1)) == 1


def test_a_listing_fits_a_terminal_of_80_columns() -> None:
    about = {"configuration": {"commit": "c" * 40, "dirty": True}, "upstream": {"ref": "v2.4.22"}}
    message = "reverts \x1b[31mthe change of yesterday because the database of the test workspace was full"
    record = kept("d" * 32, 3, kind="rollback", of="e" * 32, by="a" * 40 + "@example.com", **about)
    entries = history.merged(
        None, [known("f" * 32, 4, "IN_PROGRESS")], [replace(record, raw={**record.raw, "message": message})]
    )
    text = shown(entries)
    assert max(map(len, text.splitlines())) <= 80
    for said in ("d" * 12, "e" * 12, "rollback", "by hand", "in progress", "a" * 16, "v2.4.22", "c" * 10):
        assert said in text
    assert "+changes" in text
    assert "\x1b" not in text


def test_an_app_tells_its_root_where_there_is_no_configuration(project: Project, deployed: Deploy) -> None:
    bare = replace(project, bare=True)
    with pytest.raises(DeployError) as caught:
        locate.site(bare)
    assert caught.value.code is Code.NOT_FOUND
    root = "/Workspace/Shared/elsewhere"
    settings = project.settings.model_dump(by_alias=True)
    moved = replace(project, settings=Settings.model_validate({**settings, "workspace": {"root_path": root}}))
    facts = deployed(moved)
    assert locate.site(bare).root == root
    assert history.look(locate.site(bare))[0].deployment == facts["deployment"]
    assert json.loads(site_file(moved, facts["record"]))["outcome"] == "SUCCEEDED"


def site_file(project: Project, path: str) -> bytes:
    return session.site(project).workspace.files.read(path) or b""
