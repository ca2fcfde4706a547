"""The deploy intent, `<root>/state/deploying.json`: by it, a deployment is recognised after its answer was lost.

The deploy call takes no id of ours, and a second call makes a second deployment. So the record is drafted before the
call, with the newest deployment of that moment: the next one from the same source is the one that was begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from metamcp_deploy import resources
from metamcp_deploy.deployments import records
from metamcp_deploy.target import signing
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App, Deployment

NAME = "deploying.json"
_LATEST = 20  # deployments of an app that are looked through; nobody else deploys under the lock


@dataclass(frozen=True)
class DeployIntent:
    """The moment before a deploy call.

    Attributes:
        since: the workspace's time, in seconds since the epoch.
        after: id of the app's newest deployment; empty where there was none.
    """

    since: float
    after: str = ""


def keep(site: Site, app: App, draft: Mapping[str, Any]) -> DeployIntent:
    """Writes the draft of a record; gives the moment by which its deployment is recognised."""
    known = site.workspace.apps.deployments(app.name, _LATEST) if app.deployed else []
    since = DeployIntent(site.workspace.files.time() or 0.0, known[0].id if known else "")
    content = {"format": 1, "since": since.since, "after": since.after, "record": draft}
    # The folder exists: the lock is in it.
    path = path_of(site.root)
    site.workspace.files.write(path, signing.of(site).sealed(path, content))
    return since


def path_of(root: str) -> str:
    """Where the intent of a root is."""
    return f"{root}/state/{NAME}"


def deployment(
    workspace: Workspace, app: str, source_code_path: str, intent: DeployIntent
) -> Deployment | None:
    """The first deployment of a source since the intent; None when there is none (yet)."""
    # The workspace's clock is known to the second, and several deployments may begin in one.
    newer = takewhile(lambda d: d.id != intent.after, workspace.apps.deployments(app, _LATEST))
    found = [
        d
        for d in newer
        if d.source_code_path == source_code_path and (d.create_time or 0.0) >= int(intent.since)
    ]
    return found[-1] if found else None


def unrecorded(site: Site, app: App) -> records.Record | None:
    """The app's newest deployment, where a run began it and could not record it any more: as it would be recorded.

    Only reads; `Record.path` is where it belongs.
    """
    content = site.workspace.files.read(path_of(site.root))
    try:
        kept: Any = resources.parsed_json(content or b"")
        draft, since = dict(kept["record"]), DeployIntent(float(kept["since"]), str(kept.get("after") or ""))
        path = records.checked(draft)["source_code_path"]
    except (ValueError, KeyError, TypeError):
        return None
    newest = app.pending or app.active
    if newest is None or newest.source_code_path != path or records.has(site, draft):
        return None
    found = deployment(site.workspace, app.name, path, since)
    if found is None or found.id != newest.id:
        return None
    raw = records.of(draft, newest.id, newest.create_time)
    return records.Record(
        records.path_of(site.root, raw), raw, signing.verified(site, path_of(site.root), kept)
    )


def recorded(site: Site, app: App, deployment: Deployment) -> records.Record | None:
    """The record of such a deployment, which is recorded now; None where it is another one."""
    found = unrecorded(site, app)
    if found is None or found.deployment != deployment.id:
        return None
    site.workspace.files.make_folder(f"{site.root}/deployments")
    return records.amend(site, found)
