"""Deletes what a target made, with its releases and its lock; data and secrets only on request."""

from __future__ import annotations

import contextlib
import uuid

from metamcp_deploy import events
from metamcp_deploy.converge.kinds import PARTS
from metamcp_deploy.deployments import deploy_intent, records
from metamcp_deploy.destroy import selection
from metamcp_deploy.destroy.selection import Selection, Wishes
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import ledger, session
from metamcp_deploy.target.site import Site


def allow(site: Site) -> None:
    """Refuses for a protected target.

    Raises:
        DeployError: TARGET_PROTECTED.
    """
    target = site.project.settings.target
    if site.project.settings.protected:
        raise DeployError(
            Code.TARGET_PROTECTED,
            f"Target `{target}` is protected: it is not destroyed.",
            hint=f"If it really is to go, take `protected: true` from target {target} in metamcp.yaml first.",
        )


def run(site: Site, wishes: Wishes, force_lock: bool = False) -> Selection:
    """Deletes what `selection.look` selects under the lock; after an interruption the same call goes on.

    Returns:
        What existed, and what of it was deleted.

    Raises:
        DeployError: TARGET_PROTECTED, LOCK_HELD; DEADLINE, naming what is not gone yet.
    """
    allow(site)
    found = selection.look(site, wishes)
    if not found.plan.differs:
        session.swept(site.project)  # the lock of a run that was killed at its end
        return found
    with session.shared() as this_run:
        if found.deletes_all:
            this_run.ending.callback(_swept, site)  # once the lock is let go
        with session.locked(site, force_lock):
            found = selection.look(site, wishes)  # again: somebody may have held the lock until now
            record = found.interrupted or _begun(site)
            _deleted(site, found)
            if found.deletes_files:
                _files(site, found)
            if not found.deletes_all:
                records.amend(site, record, outcome="SUCCEEDED")
    if found.deletes_app and any(thing.kind.section == "database" for thing in found.kept):
        events.emit(events.Warned(*_tables_left(found)))
    return found


def _begun(site: Site) -> records.Record:
    """The record of the destruction: a rollback considers no deployment before it."""
    record = records.heading(site.project, site.workspace, "destroy", uuid.uuid4().hex)
    record["outcome"] = "IN_PROGRESS"
    return records.write(site, record)


def _deleted(site: Site, found: Selection) -> None:
    """Deletes one thing after the other, and takes each out of the ledger."""
    left = found.ledger
    for thing in found.deleted:
        kind, name = thing.kind, thing.name
        events.emit(events.Progress(f"deletes {name}"))
        delete = kind.purge if kind.purge and thing.purged else kind.delete
        delete(site.workspace, name, site.project.settings.waits)
        events.emit(events.Changed("deleted", kind.name, name))
        contents = [inner for part in PARTS for inner in part.contents(left, kind.name, name)]
        for gone, gone_name in [(kind, name), *contents]:
            left = left.less(gone.name, gone_name)
        ledger.write(site, left)


def _files(site: Site, found: Selection) -> None:
    from metamcp_deploy.workspace import lock_takings

    files, root = site.workspace.files, site.root
    files.delete(f"{root}/releases", recursive=True)
    files.delete(f"{root}/state/{deploy_intent.NAME}")
    events.emit(events.Changed("deleted", "releases", f"{root}/releases"))
    if found.deletes_all:
        files.delete(f"{root}/state/{ledger.NAME}")
        files.delete(f"{root}/state/{lock_takings.NAME}")
        files.delete(f"{root}/deployments", recursive=True)
        events.emit(events.Changed("deleted", "history", f"{root}/deployments"))


def _swept(site: Site) -> None:
    """Removes the folders that are empty now; what others keep in them stays."""
    with contextlib.suppress(DeployError):  # not empty, and so is not what is above it
        for path in (f"{site.root}/state", site.root):
            site.workspace.files.delete(path)


def _tables_left(found: Selection) -> tuple[str, str]:
    who = f" {found.principal}" if found.principal else ""
    return (
        f"The database stays, and its tables belong to the service principal{who} of the app that is gone: an app that "
        "is made later has another, and its launcher refuses tables of somebody else (schema_foreign).",
        "The launcher names the statements that hand them over. To delete the data, too: metamcp-deploy destroy "
        "--with-database",
    )
