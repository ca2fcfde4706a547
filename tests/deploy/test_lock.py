"""The lock of a target: official format, holder and age named, let go whatever happens."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from metamcp_deploy import events
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.stages import connection
from metamcp_deploy.workspace import Workspace, lock

ROOT = "/Workspace/Users/developer@example.com/locks"


@pytest.fixture
def workspace(project: Project) -> Workspace:
    found = connection.connect(project)
    found.files.delete(f"{ROOT}/state/deploy.lock")
    return found


def content(workspace: Workspace) -> dict[str, object] | None:
    found = workspace.files.read(f"{ROOT}/state/deploy.lock")
    return json.loads(found) if found else None


def put(workspace: Workspace, **fields: object) -> None:
    workspace.files.make_folder(f"{ROOT}/state")
    workspace.files.write(f"{ROOT}/state/deploy.lock", json.dumps(fields).encode())


def test_held_in_the_official_format_and_let_go(workspace: Workspace, tmp_path: Path) -> None:
    with lock.held(workspace.files, ROOT, "a@example.com", tmp_path / "lock"):
        held = content(workspace)
        assert held is not None
        assert set(held) == {"ID", "AcquisitionTime", "IsForced", "User"}
        assert held["User"] == "a@example.com"
        assert datetime.fromisoformat(str(held["AcquisitionTime"]))
    assert content(workspace) is None


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_let_go_on_failure(workspace: Workspace, tmp_path: Path, failure: type[BaseException]) -> None:
    with pytest.raises(failure), lock.held(workspace.files, ROOT, "a@example.com", tmp_path / "lock"):
        raise failure
    assert content(workspace) is None


def test_held_by_somebody_else(workspace: Workspace, tmp_path: Path) -> None:
    since = datetime.now(UTC) - timedelta(minutes=12, seconds=5)
    put(workspace, ID="theirs", AcquisitionTime=since.isoformat(), IsForced=False, User="b@example.com")
    with (
        pytest.raises(DeployError) as caught,
        lock.held(workspace.files, ROOT, "a@example.com", tmp_path / "lock"),
    ):
        pytest.fail("the lock is held")
    assert caught.value.code is Code.LOCK_HELD
    assert "b@example.com (since 12 min)" in caught.value.message
    assert "--force-lock" in caught.value.hint
    assert content(workspace)["ID"] == "theirs"  # type: ignore[index]


def test_taken_by_force(workspace: Workspace, tmp_path: Path) -> None:
    put(workspace, ID="theirs", AcquisitionTime="2026-01-01T00:00:00Z", IsForced=False, User="b@example.com")
    said: list[events.Event] = []
    with (
        events.listening(said.append),
        lock.held(workspace.files, ROOT, "a@example.com", tmp_path / "lock", force=True),
    ):
        assert content(workspace)["IsForced"] is True  # type: ignore[index]
    assert any("b@example.com" in e.text for e in said if isinstance(e, events.Warned))


def test_a_killed_run_of_this_folder_leaves_no_obstacle(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("killed-run")
    put(
        workspace,
        ID="killed-run",
        AcquisitionTime="2026-01-01T00:00:00Z",
        IsForced=False,
        User="a@example.com",
    )
    with lock.held(workspace.files, ROOT, "a@example.com", tmp_path / "lock"):
        assert content(workspace)["ID"] != "killed-run"  # type: ignore[index]
    assert content(workspace) is None


def test_a_living_run_of_this_folder_is_not_disturbed(workspace: Workspace, tmp_path: Path) -> None:
    with lock.held(workspace.files, ROOT, "a@example.com", tmp_path / "lock"):
        before = content(workspace)
        with (
            pytest.raises(DeployError) as caught,
            lock.held(workspace.files, ROOT, "a@example.com", tmp_path / "lock"),
        ):
            pytest.fail("the lock is held")
        assert caught.value.code is Code.LOCK_HELD
        assert content(workspace) == before


def test_unreadable_content_is_somebodys(workspace: Workspace, tmp_path: Path) -> None:
    workspace.files.make_folder(f"{ROOT}/state")
    workspace.files.write(f"{ROOT}/state/deploy.lock", b"not json")
    with (
        pytest.raises(DeployError) as caught,
        lock.held(workspace.files, ROOT, "a@example.com", tmp_path / "lock"),
    ):
        pytest.fail("the lock is held")
    assert "somebody unknown" in caught.value.message
