"""The lock of a target: official format, holder and age named, renewed, let go whatever happens."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import events, local
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.faults import Fault, injected
from metamcp_deploy.stages import deploy
from metamcp_deploy.target import session
from metamcp_deploy.workspace import Workspace, lock
from tests import http_seam

ROOT = "/Workspace/Users/developer@example.com/locks"
PATH = f"{ROOT}/state/deploy.lock"
Hold = Callable[..., AbstractContextManager[None]]
Seen = list[events.Event]


@pytest.fixture
def workspace(project: Project) -> Workspace:
    found = session.connect(project)
    found.files.make_folder(f"{ROOT}/state")
    found.files.delete(PATH)
    return found


@pytest.fixture
def hold(workspace: Workspace, tmp_path: Path) -> Hold:
    def held(
        name: str = "a@example.com", folder: str = "here", by: Workspace = workspace, **more: Any
    ) -> AbstractContextManager[None]:
        return lock.held(by.files, ROOT, name, tmp_path / folder / "lock", **more)

    return held


@pytest.fixture
def injecting(project: Project) -> Callable[..., AbstractContextManager[Callable[[], int]]]:
    return lambda *fault, **more: injected(local.up(project), Fault(*fault, **more))


def content(workspace: Workspace) -> dict[str, Any] | None:
    found = workspace.files.read(PATH)
    return json.loads(found) if found else None


def official(workspace: Workspace, since: datetime | None = None, **fields: object) -> None:
    """A lock as the official command line writes it."""
    at = (since or datetime.now(UTC)).isoformat()
    whole = {"ID": "theirs", "AcquisitionTime": at, "IsForced": False, "User": "b@example.com", **fields}
    workspace.files.write(PATH, json.dumps(whole).encode())


def dated(project: Project, **ago: float) -> None:
    """Makes the file older, on the workspace's side."""
    place = project.local / "files" / PATH.removeprefix("/Workspace/")
    then = (datetime.now(UTC) - timedelta(**ago)).timestamp()
    os.utime(place, (then, then))


def refused(context: AbstractContextManager[None]) -> DeployError:
    with pytest.raises(DeployError) as caught, context:
        pytest.fail("the lock is held")
    assert caught.value.code is Code.LOCK_HELD
    return caught.value


def test_held_in_the_official_format_and_let_go(workspace: Workspace, hold: Hold) -> None:
    with hold():
        held = content(workspace)
        assert held is not None
        # The official tool passes over the last one.
        assert set(held) == {"ID", "AcquisitionTime", "IsForced", "User", "RenewedEverySeconds"}
        assert held["User"] == "a@example.com"
        assert abs(datetime.fromisoformat(held["AcquisitionTime"]).timestamp() - time.time()) < 3
        assert (lock.holder(workspace.files, ROOT) or "").startswith("a@example.com (since ")
    assert content(workspace) is None
    assert lock.holder(workspace.files, ROOT) is None


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_let_go_on_failure(workspace: Workspace, hold: Hold, failure: type[BaseException]) -> None:
    with pytest.raises(failure), hold():
        raise failure
    assert content(workspace) is None


def test_few_requests(project: Project, workspace: Workspace, hold: Hold) -> None:
    record = project.local / "requests.jsonl"
    before = len(record.read_text().splitlines())
    with hold():
        pass
    asked = [json.loads(line) for line in record.read_text().splitlines()[before:]]
    assert [f"{a['method']} {a['path'].rpartition('/')[2]}" for a in asked] == [
        *("POST import", "GET export"),
        *("GET export", "POST delete"),
    ]


def test_the_folder_is_made_when_it_is_not_there(workspace: Workspace, tmp_path: Path) -> None:
    root = f"{ROOT}/{time.time_ns()}"
    with lock.held(workspace.files, root, "a@example.com", tmp_path / "lock"):
        assert workspace.files.read(f"{root}/state/deploy.lock")


def test_of_the_official_tool_age_is_told_by_the_workspace(
    project: Project, workspace: Workspace, hold: Hold
) -> None:
    official(workspace, since=datetime.now(UTC) + timedelta(hours=5))  # a laptop with a wrong clock
    dated(project, minutes=12, seconds=5)
    error = refused(hold())
    assert f"b@example.com (since 12 min) holds the lock {PATH}" in error.message
    assert "--force-lock" in error.hint
    dated(project, hours=30, minutes=5)  # it may be alive, however old it is: it is never renewed
    assert "(since 30 h)" in refused(hold()).message
    assert (content(workspace) or {})["ID"] == "theirs"


def test_of_ours_without_a_sign_of_life_is_taken_over(
    project: Project, workspace: Workspace, hold: Hold, seen: Seen
) -> None:
    began = datetime.now(UTC) - timedelta(minutes=20, seconds=20)
    official(workspace, since=began, RenewedEverySeconds=60)
    dated(project, minutes=4, seconds=20)
    error = refused(hold())
    assert "b@example.com (since 20 min, last renewed 4 min ago)" in error.message
    assert "5 min after it was last renewed" in error.hint
    dated(project, minutes=5, seconds=2)
    with hold():
        assert (content(workspace) or {})["User"] == "a@example.com"
    warned = [e.text for e in seen if isinstance(e, events.Warned)]
    assert len(warned) == 1
    assert "Took over the lock of b@example.com (since 20 min" in warned[0]


def test_taken_by_force(workspace: Workspace, hold: Hold, seen: Seen) -> None:
    official(workspace)
    with hold(force=True):
        assert (content(workspace) or {})["IsForced"] is True
    assert any("b@example.com" in e.text for e in seen if isinstance(e, events.Warned))


def test_renewed_while_it_is_held(project: Project, workspace: Workspace, hold: Hold) -> None:
    with hold(renew_seconds=0.05, wall=ticking(2.0)):
        first = content(workspace)
        dated(project, hours=1)
        until = time.monotonic() + 120
        while (workspace.files.modified(PATH) or 0) < time.time() - 60:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert content(workspace) == first


def ticking(step: float) -> Callable[[], float]:
    """A clock that goes on by so much whenever it is read."""
    now = time.time()
    lock_of_it = threading.Lock()

    def wall() -> float:
        nonlocal now
        with lock_of_it:
            now += step
        return now

    return wall


def test_who_lost_the_lock_writes_nothing_more(project: Project, workspace: Workspace, hold: Hold) -> None:
    now, other = time.time(), session.connect(project)

    def write(name: str) -> None:
        workspace.files.write(f"{ROOT}/{name}", b"")

    with hold(wall=lambda: now), hold("b@example.com", "there", other, force=True):
        write("first")  # the lock was seen a moment ago: nobody looks again
        now += 16
        with pytest.raises(DeployError) as caught:
            write("second")
        assert caught.value.code is Code.LOCK_LOST
        assert "b@example.com (since" in caught.value.message
        assert other.files.read(f"{ROOT}/second") is None
        assert (content(other) or {})["User"] == "b@example.com"
    assert content(workspace) is None
    write("second")  # without a lock there is nothing to lose
    workspace.files.delete(f"{ROOT}/second")


def test_writes_that_matter_look_at_the_lock_and_name_who_took_it(
    project: Project, workspace: Workspace, hold: Hold
) -> None:
    """A stopped run wakes a few seconds later, when the other one has ended and let the lock go."""
    now, other = time.time(), session.connect(project)
    with hold(wall=lambda: now):
        with hold("b@example.com", "there", other, force=True):
            pass
        assert content(other) is None
        now += 7
        with pytest.raises(DeployError) as caught:
            workspace.apps.deploy(project.settings.app.name, f"{ROOT}/releases/x", [])
        assert caught.value.code is Code.LOCK_LOST
        assert "b@example.com (since" in caught.value.message


def test_a_renewal_that_was_late_does_not_win_the_lock_back(
    project: Project, workspace: Workspace, hold: Hold
) -> None:
    """The other run takes the lock between this run's look at it and its renewal."""
    now, other = time.time(), session.connect(project)
    theirs = hold("b@example.com", "there", other, force=True)
    with hold(wall=lambda: now):
        now += 16
        late = http_seam.around("POST /api/2.0/workspace/import", before=once(theirs.__enter__))
        with late, pytest.raises(DeployError) as caught:
            workspace.files.write(f"{ROOT}/late", b"")
        assert "b@example.com (since" in caught.value.message
        assert (content(other) or {})["User"] == "a@example.com"
        other.files.sure().write(f"{ROOT}/theirs", b"")  # whoever took it keeps it
        assert (content(other) or {})["User"] == "b@example.com"
    theirs.__exit__(None, None, None)
    assert content(other) is None
    assert set(other.files.entries(ROOT)) & {"late", "theirs"} == {"theirs"}
    other.files.delete(f"{ROOT}/theirs")


def once(act: Callable[[], object]) -> Callable[[], object]:
    """Does it the first time only, also where the act itself calls this."""
    acts = iter([act])
    return lambda: next(acts, int)()


def test_after_it_was_lost_nothing_is_read_either(workspace: Workspace, hold: Hold) -> None:
    def following() -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            workspace.files.entries(ROOT)

    with hold(renew_seconds=0.02, wall=ticking(2.0)):
        workspace.files.unguarded().delete(PATH)
        with pytest.raises(DeployError) as caught:
            following()
    assert caught.value.code is Code.LOCK_LOST
    assert "Somebody deleted the lock" in caught.value.message


def test_a_killed_run_of_this_folder_leaves_no_obstacle(
    workspace: Workspace, hold: Hold, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "lock").write_text("killed-run")
    official(workspace, ID="killed-run")
    with hold():
        assert (content(workspace) or {})["ID"] != "killed-run"
    assert content(workspace) is None


def test_garbage_in_the_memory_of_locks_names_none(workspace: Workspace, hold: Hold, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    memory = tmp_path / "here" / "lock"
    memory.write_bytes(b"\xff\xfe\x00{garbage\x80\n")
    lock.sweep(workspace.files, ROOT, memory)
    memory.write_bytes(b"\xff\xfe\x00{garbage\x80\n")
    with hold():
        assert (content(workspace) or {})["ID"] in memory.read_text()


def test_a_living_run_of_this_folder_is_not_disturbed(workspace: Workspace, hold: Hold) -> None:
    with hold():
        before = content(workspace)
        assert "Another run in this folder" in refused(hold()).message
        assert content(workspace) == before


def test_unreadable_content_is_somebodys(workspace: Workspace, hold: Hold) -> None:
    for broken in (b"not json", b"[]", b'{"ID": 7, "RenewedEverySeconds": "x"}'):
        workspace.files.write(PATH, broken)
        assert "somebody unknown" in refused(hold()).message


ROUTES = ("POST /api/2.0/workspace/import", "GET /api/2.0/workspace/export", "POST */workspace/delete")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("what", ["lost", "reset", "truncated", "429", "500"])
def test_after_one_fault_anywhere_nothing_is_stuck(
    workspace: Workspace, hold: Hold, injecting: Any, what: str, route: str
) -> None:
    with injecting(what, route, calls="1", seconds=0.1 if what == "429" else None) as struck:
        codes = []
        try:
            with hold():
                codes.append((content(workspace) or {})["User"])
        except DeployError as e:
            codes.append(e.code)
        # A server's own failure is no business of the lock; what counts is that the next run finds it free.
        assert codes == ["a@example.com"] or (
            what in ("500", "truncated") and codes == [Code.WORKSPACE_ANSWER]
        )
        assert struck() == 1
    assert content(workspace) is None


def test_a_release_that_fails_is_told_and_costs_this_folder_nothing(
    workspace: Workspace, hold: Hold, injecting: Any, seen: Seen
) -> None:
    with (
        pytest.raises(RuntimeError, match="the work's own"),
        injecting("500", "POST */workspace/delete"),
        hold(),
    ):
        raise RuntimeError("the work's own")
    warned = [e for e in seen if isinstance(e, events.Warned)]
    assert "could not be let go" in warned[-1].text
    assert "5 min from now" in warned[-1].hint
    assert "(since" in refused(hold(folder="elsewhere")).message
    with hold():
        pass
    assert content(workspace) is None


def test_a_lost_answer_does_not_delete_the_lock_of_the_next(
    project: Project, tmp_path: Path, injecting: Any
) -> None:
    """Between the answer that was lost and the second try, somebody else takes the lock."""
    mine, other = session.connect(project), session.connect(project)
    held = lock.held(mine.files, ROOT, "a@example.com", tmp_path / "lock")
    with injecting("lost", "POST */workspace/delete", calls="1") as struck:
        mine.files._transport.clock = replace(mine.files.clock, sleep=lambda _: official(other))
        with held:
            pass
        assert struck() == 1
    assert (content(other) or {})["ID"] == "theirs"
    other.files.delete(PATH)


def test_a_killed_runs_lock_goes_with_the_next_run_that_needs_none(
    workspace: Workspace, tmp_path: Path
) -> None:
    memory = tmp_path / "lock"
    files = workspace.files
    lock.sweep(files, ROOT, memory)  # nothing was ever held
    for theirs in (False, True):
        memory.write_text("killed")
        files.write(PATH, json.dumps({"ID": "somebody else's" if theirs else "killed"}).encode())
        lock.sweep(files, ROOT, memory)
        assert (content(workspace) is not None) is theirs
        assert memory.read_text() == ""


def test_a_deployment_that_changes_nothing_leaves_no_dead_lock(project: Project) -> None:
    deploy.run(project, deploy.REMOTE)
    site = session.site(project)
    path = f"{site.root}/state/deploy.lock"
    site.workspace.files.write(path, json.dumps({"ID": "killed"}).encode())
    (project.state / f"lock-{project.settings.target}").write_text("killed")
    deploy.run(project, deploy.REMOTE)
    assert site.workspace.files.read(path) is None


def test_a_run_that_fails_before_it_has_the_lock_forgets_no_dead_one(
    workspace: Workspace, tmp_path: Path, hold: Hold
) -> None:
    memory = tmp_path / "here" / "lock"
    memory.parent.mkdir()
    memory.write_text("killed")
    workspace.files.write(PATH, json.dumps({"ID": "killed", "RenewedEverySeconds": 60}).encode())

    def fails() -> None:
        raise DeployError(Code.WORKSPACE_UNREACHABLE, "away", hint="")

    request = http_seam.around("POST /api/2.0/workspace/import", before=fails)
    with request, pytest.raises(DeployError, match="away"), hold():
        pytest.fail("the lock is held")
    assert memory.read_text() == "killed"
    with hold():
        assert (content(workspace) or {})["ID"] in memory.read_text()
    assert memory.read_text() == ""
