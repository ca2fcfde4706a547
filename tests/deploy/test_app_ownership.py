"""Whose an app is: that of a target from another root is not taken over in silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import local, pipeline, preflight
from metamcp_deploy.config.project import Project
from metamcp_deploy.converge.parts.app import ownership
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import Action
from metamcp_deploy.preflight.needs import State
from metamcp_deploy.stages import bundle_deploy, deploy, full_plan
from metamcp_deploy.target import ledger, session
from metamcp_deploy.target.ledger import Ledger
from metamcp_deploy.workspace.apps import App
from tests.deploy.others import elsewhere
from tests.deploy.tiny_app import write_bundle
from tests.embedded_people import machine, person

ADA, BEN = "ada@example.com", "ben@example.com"
ROOT, OTHER = "/Workspace/Shared/a", "/Workspace/Shared/b"
RELEASE = "0123456789abcdef"
RIGHTS = {
    part: {"permissions": [{"level": level, "user_name": BEN}]}
    for part, level in (("app", "CAN_MANAGE"), ("database", "CAN_MANAGE"), ("secrets", "MANAGE"))
}


@pytest.mark.parametrize(
    ("fields", "made", "expected"),
    [
        ({"default_source_code_path": f"{ROOT}/releases/{RELEASE}"}, False, ("metamcp-deploy", "", True)),
        ({"default_source_code_path": f"{OTHER}/releases/{RELEASE}"}, False, (ADA, OTHER, False)),
        ({"default_source_code_path": f"{OTHER}/releases/{RELEASE}"}, True, ("metamcp-deploy", "", True)),
        ({"default_source_code_path": f"{ROOT}2/releases/{RELEASE}"}, False, (ADA, f"{ROOT}2", False)),
        ({"default_source_code_path": "/Workspace/Users/x/shop"}, False, (ADA, "", True)),
        ({"description": "by metamcp-deploy", "default_source_code_path": "/x"}, False, (ADA, "/x", False)),
        ({"description": "by metamcp-deploy"}, False, (ADA, "", True)),
        ({}, False, (ADA, "", True)),
    ],
)
def test_whose_it_is(fields: dict[str, str], made: bool, expected: tuple[str, str, bool]) -> None:
    kept = Ledger({"app": ("x",)}) if made else Ledger()
    found = ownership.of_app(App({"name": "x", "creator": ADA, **fields}), ROOT, kept)
    assert (found.owner, found.root, found.usable(ADA)) == expected
    assert found.usable(BEN) is found.ours


def test_an_app_of_a_target_from_another_root(
    base: Project,
    project: Project,
    bundled: Callable[..., pipeline.Facts],
    deployed: Callable[..., pipeline.Facts],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = local.up(base)
    logins = {name: machine(person(running, name)) for name in (ADA, BEN)}

    def as_(name: str) -> Project:
        """The same metamcp.yaml in somebody's folder, and nobody stated a root."""
        for variable, value in logins[name].items():
            monkeypatch.setenv(variable, value)
        rights: dict[str, Any] = dict(RIGHTS)
        there = elsewhere(replace(project, folder=tmp_path / name), running.url, **rights)
        there.state.mkdir(parents=True, exist_ok=True)
        write_bundle(there)
        return there

    hers = as_(ADA)
    deployed(hers)
    her_root = session.site(hers).root
    his = as_(BEN)
    with pytest.raises(DeployError, match=f"deployed from {her_root}") as caught:
        bundled(his)
    assert caught.value.code is Code.ALREADY_EXISTS
    assert f"workspace.root_path: {her_root}" in caught.value.hint
    assert "--adopt" in caught.value.hint
    (check,) = [c for c in preflight.look(his).checks if c.id == "name"]
    assert check.state is State.MISSING
    assert her_root in check.detail
    found = full_plan.look(his, deploy.REMOTE, [bundle_deploy.Wishes(adopt=True)]).plan
    assert found is not None
    (change,) = found.of("app")
    assert (change.action, change.owner) == (Action.ADOPT, ADA)
    assert change.reason == f"deployed from {her_root} until now"
    bundled(his, adopt=True)
    site = session.site(his)
    assert ledger.read(site).has("app", project.settings.app.name)
    bundled(his)  # from now on it is his
