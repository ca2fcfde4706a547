"""Two people, one truth: whoever deploys to a root shares its lock, history, releases and ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import local, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.deployments import history
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.faults import Fault, injected
from metamcp_deploy.secrets import keys
from metamcp_deploy.target import ledger, session
from metamcp_deploy.workspace import lock
from tests.deploy.others import elsewhere
from tests.deploy.tiny_app import changed, write_bundle
from tests.embedded_people import machine, person

ADA, BEN = "ada@example.com", "ben@example.com"
Deploy = Callable[..., pipeline.Facts]


@pytest.fixture
def running(base: Project) -> local.Running:
    return local.up(base)


@pytest.fixture
def root(project: Project) -> str:
    return f"/Workspace/Shared/{project.settings.app.name}"


@pytest.fixture
def people(running: local.Running) -> dict[str, dict[str, str]]:
    """Their logins."""
    return {name: machine(person(running, name)) for name in (ADA, BEN)}


@pytest.fixture
def login(people: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def become(name: str) -> None:
        for variable, value in people[name].items():
            monkeypatch.setenv(variable, value)

    return become


def shared(level: str, manage: str) -> dict[str, Any]:
    """Settings that let the other one deploy, too."""
    return {
        "app": {"permissions": [{"level": level, "user_name": BEN}]},
        "database": {"permissions": [{"level": level, "user_name": BEN}]},
        "secrets": {"permissions": [{"level": manage, "user_name": BEN}]},
    }


def with_env(rights: dict[str, Any]) -> dict[str, Any]:
    """The same with another setting: something to deploy."""
    return {**rights, "app": {**rights["app"], "env": {"LOG_LEVEL": "debug"}}}


@pytest.fixture
def copy(project: Project, running: local.Running, root: str, tmp_path: Path) -> Callable[..., Project]:
    """Somebody's own folder with the same target."""

    def of(name: str, **changes: Any) -> Project:
        mine = replace(project, folder=tmp_path / name)
        mine.state.mkdir(parents=True, exist_ok=True)
        there = elsewhere(mine, running.url, root, **changes)
        write_bundle(there)
        return there

    return of


def test_one_history_one_set_of_releases_and_one_ledger(
    copy: Callable[..., Project], login: Callable[[str], None], deployed: Deploy, root: str, seen: list[Any]
) -> None:
    rights = shared("CAN_MANAGE", "MANAGE")
    hers, his, other = copy("hers", **rights), copy("his", **rights), copy("other", **with_env(rights))
    login(ADA)
    first = deployed(hers)
    login(BEN)
    seen.clear()
    assert deployed(his)["deployment"] == first["deployment"]
    assert {action for action, _ in changed(seen)} == {"kept"}
    second = deployed(other, message="his")
    assert {a for a, kind in changed(seen) if kind == "release"} == {"kept"}
    login(ADA)
    site = session.site(hers)
    entries = history.look(site, None)
    assert [(e.deployment, e.by) for e in entries] == [
        (second["deployment"], BEN),
        (first["deployment"], ADA),
    ]
    assert [e.runs for e in entries] == [True, False]
    assert list(site.workspace.files.entries(f"{root}/releases")) == [first["release"]]
    made = ledger.read(site)
    assert made.has("app", hers.settings.app.name)
    assert made.has("scope", hers.settings.secret_scope)
    assert keys.look(site).key("BETTER_AUTH_SECRET").written


def test_one_lock(
    copy: Callable[..., Project], login: Callable[[str], None], deployed: Deploy, tmp_path: Path
) -> None:
    rights = shared("CAN_MANAGE", "MANAGE")
    hers, his = copy("hers", **rights), copy("his", **with_env(rights))
    login(ADA)
    deployed(hers)
    site = session.site(hers)
    with lock.held(site.workspace.files, site.root, site.workspace.me, tmp_path / "hers.lock"):
        login(BEN)
        with pytest.raises(DeployError) as caught:
            deployed(his)
    assert caught.value.code is Code.LOCK_HELD
    assert f"{ADA} (since" in caught.value.message


@pytest.mark.parametrize("level", [None, "CAN_USE"])
def test_without_rights_on_the_app(
    copy: Callable[..., Project], login: Callable[[str], None], deployed: Deploy, level: str | None
) -> None:
    rights = {"app": {"permissions": [{"level": level, "user_name": BEN}]}} if level else {}
    hers, his = copy("hers", **rights), copy("his", app={"compute_size": "LARGE"})
    login(ADA)
    deployed(hers)
    login(BEN)
    with pytest.raises(DeployError) as caught:
        deployed(his)
    assert caught.value.code is Code.PERMISSION_DENIED
    assert his.settings.app.name in caught.value.message
    assert "preflight" in caught.value.hint
    login(ADA)
    with session.locked(session.site(hers)):
        pass  # he left no lock


# -- at once, in real processes ---------------------------------------------------------------------------------------


@pytest.fixture
def start(people: dict[str, dict[str, str]]) -> Callable[..., subprocess.Popen[str]]:
    """Starts a command of somebody in their folder."""

    def begun(who: str, project: Project, *words: str) -> subprocess.Popen[str]:
        stated = project.settings.model_dump(
            mode="json", by_alias=True, exclude_defaults=True, exclude={"target"}
        )
        stated = {section: values for section, values in stated.items() if values != {}}
        (project.folder / "metamcp.yaml").write_text(json.dumps({"version": 1, "targets": {"dev": stated}}))
        argv = [
            sys.executable,
            "-m",
            "metamcp_deploy",
            *words,
            "-t",
            "dev",
            "-o",
            "json",
            "--log-format",
            "json",
        ]
        pipe, environment = subprocess.PIPE, {**os.environ, **people[who]}
        return subprocess.Popen(
            argv,
            cwd=project.folder,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
        )

    return begun


def ended(child: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    out, err = child.communicate(timeout=120)
    assert all(json.loads(line) for line in err.splitlines())  # --log-format json: whatever was said
    return child.returncode, json.loads(out)


def until_held(base: Project, root: str, child: subprocess.Popen[str]) -> None:
    place = base.local / "files" / root.removeprefix("/Workspace/") / "state" / "deploy.lock"
    while not place.exists():
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)


def slow(call: str) -> Fault:
    return Fault("stall", call, calls="1", seconds=12)


def test_two_at_once(copy: Any, start: Any, running: local.Running, base: Project, root: str) -> None:
    rights = shared("CAN_MANAGE", "MANAGE")
    code, answer = ended(start(ADA, copy("first", **rights), "bundle-deploy"))
    assert code == 0, answer
    sized = {size: {**rights, "app": {**rights["app"], "compute_size": size}} for size in ("LARGE", "XLARGE")}
    hers, his = copy("hers", **sized["LARGE"]), copy("his", **sized["XLARGE"])
    with injected(running, slow("POST /api/2.0/apps/*/update")):
        first = start(ADA, hers, "bundle-deploy")
        until_held(base, root, first)
        code, document = ended(start(BEN, his, "bundle-deploy"))
        assert (code, document.get("error", {}).get("code")) == (1, "lock_held")
        assert f"{ADA} (since" in document["error"]["message"]
        assert ended(first)[0] == 0
    code, document = ended(start(BEN, his, "bundle-deploy"))
    assert code == 0, document


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_one_that_is_ended_while_it_holds_the_lock(
    copy: Any, start: Any, running: local.Running, base: Project, root: str, signum: signal.Signals
) -> None:
    hers = copy("hers")
    with injected(running, slow("POST /api/2.0/apps")):
        first = start(ADA, hers, "bundle-deploy")
        until_held(base, root, first)
        first.send_signal(signum)
        first.communicate(timeout=120)
    again = copy("elsewhere")
    code, document = ended(start(ADA, again, "bundle-deploy"))
    if signum is signal.SIGKILL:
        assert (code, document["error"]["code"]) == (1, "lock_held")
        assert "5 min after it was last renewed" in document["error"]["hint"]
        assert ended(start(ADA, hers, "bundle-deploy"))[0] == 0  # in its own folder it knows that it is dead
        code, document = ended(start(ADA, again, "bundle-deploy"))
    assert code == 0, document
