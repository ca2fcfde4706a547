"""The releases of a target in its workspace: which there are, which stay, and deleting the others."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events, resources
from metamcp_deploy.deployments import records, rollback_target
from metamcp_deploy.deployments.records import Record
from metamcp_deploy.errors import DeployError
from metamcp_deploy.plan import OURS, Action, Change, Plan
from metamcp_deploy.release import releases
from metamcp_deploy.target import session
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App


@dataclass(frozen=True)
class Stored:
    """One release in the workspace.

    Attributes:
        id: of the release.
        used: when it was deployed last, or sent, where it never was (RFC 3339); empty where nobody knows.
        complete: whether its marker is there; without one it is what an interrupted upload left.
        deployed: whether it ever was.
        stays: why it is kept; empty where it goes.
    """

    id: str
    used: str
    complete: bool
    deployed: bool
    stays: str

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return asdict(self)


def look(site: Site, keep: int | None = None) -> list[Stored]:
    """The releases in the workspace, the one that was used last first; only reads.

    Args:
        site: of the target.
        keep: how many stay besides those that are needed; None for what the settings say.
    """
    workspace, root = site.workspace, site.root
    there = [name for name, entry in workspace.files.entries(f"{root}/releases").items() if entry.folder]
    kept = records.newest(site, records.LOOKED_AT) if there else []
    app = workspace.apps.find(site.project.settings.app.name) if there else None
    used = {record.release: record.at for record in reversed(kept) if record.release}
    sent = {name: _sent(site, name) for name in there if name not in used}
    keep = site.project.settings.releases.keep if keep is None else keep
    return ranked(there, used, sent, needed(kept, app), keep)


def _sent(site: Site, release: str) -> str | None:
    """When a release that was never deployed arrived; None when it did not arrive wholly."""
    at = site.workspace.files.modified(f"{releases.path_of(site.root, release)}/{releases.COMPLETE}")
    return None if at is None else records.stamp(at)


def ranked(
    there: Sequence[str],
    used: Mapping[str, str],
    sent: Mapping[str, str | None],
    needed: Mapping[str, str],
    keep: int,
) -> list[Stored]:
    """Releases, the newest first, and which of them stay.

    Args:
        there: all in the workspace.
        used: release → when it was deployed last.
        sent: release that was never deployed → when it arrived; None for one that did not wholly.
        needed: release → why it stays whatever its age.
        keep: how many stay.
    """
    at = {name: used.get(name) or sent.get(name) or "" for name in there}
    found, places = [], keep
    for name in sorted(there, key=lambda name: (at[name], name), reverse=True):
        complete = bool(at[name])
        stays = needed.get(name) or ("one of the newest" if complete and places > 0 else "")
        places -= complete
        found.append(Stored(name, at[name], complete, name in used, stays))
    return found


def needed(kept: Sequence[Record], app: App | None) -> dict[str, str]:
    """Releases that stay whatever their age: what runs, what is under way, and what a rollback goes back to."""
    found: dict[str, str] = {}
    since = rollback_target.since_destroyed(kept)
    running = app.active.id if app and app.active else None
    with contextlib.suppress(DeployError):  # there is nothing to go back to
        found[rollback_target.choose(since, running, None, "").release] = "what a rollback goes back to"
    if newest := next((record for record in since if record.outcome == rollback_target.SUCCEEDED), None):
        found[newest.release] = "deployed last"  # a stopped app does not say what ran
    for deployment, why in ((app.pending, "under way"), (app.active, "runs")) if app else ():
        if deployment is not None:
            found[deployment.source_code_path.rstrip("/").rsplit("/", 1)[-1]] = why
    return found


def plan(stored: Sequence[Stored]) -> Plan:
    """What pruning would do."""
    return Plan(
        tuple(
            Change(
                Action.KEEP if one.stays else Action.DELETE, "release", one.id, OURS, one.stays or _why(one)
            )
            for one in stored
        )
    )


def _why(one: Stored) -> str:
    return f"used last {one.used}" if one.complete else "was never sent wholly"


def prune(site: Site, keep: int | None = None, force_lock: bool = False) -> list[Stored]:
    """Deletes the releases that do not stay; gives those that were there.

    Raises:
        DeployError: LOCK_HELD.
    """
    found = look(site, keep)
    if all(one.stays for one in found):
        return found
    with session.locked(site, force_lock):
        found = look(site, keep)  # again: somebody may have held the lock until now
        for one in found:
            if not one.stays:
                _delete(site, one.id)
    return found


def _delete(site: Site, release: str) -> None:
    """The marker first: half deleted, it is no release."""
    path = releases.path_of(site.root, release)
    site.workspace.files.delete(f"{path}/{releases.COMPLETE}")
    site.workspace.files.delete(path, recursive=True)
    events.emit(events.Changed("deleted", "release", release))


def after_deployment(site: Site) -> None:
    """Prunes once there are more releases than the settings keep: one request where there are not.

    A failure is a warning: the deployment has succeeded.
    """
    try:
        there = site.workspace.files.entries(f"{site.root}/releases")
        if sum(entry.folder for entry in there.values()) > site.project.settings.releases.keep:
            prune(site)
    except DeployError as e:
        events.emit(
            events.Warned(f"Old releases were not deleted: {e.message}", "metamcp-deploy release prune")
        )


def pins(site: Site, stored: Sequence[Stored]) -> dict[str, str]:
    """Release → upstream's ref that it was built from, where its release.json says so."""
    paths = {f"{releases.path_of(site.root, one.id)}/release.json": one.id for one in stored}
    found = {}
    for path, content in site.workspace.files.contents(paths).items():
        try:
            found[paths[path]] = str(resources.parsed_json(content or b"")["upstream"]["ref"])
        except (ValueError, KeyError, TypeError):
            continue
    return found
