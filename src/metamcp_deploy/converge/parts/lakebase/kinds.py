"""What the ledger names of Lakebase autoscaling: who made it, what it says of that itself, how it is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metamcp_deploy.converge.part import Kind
from metamcp_deploy.converge.parts.lakebase import fields
from metamcp_deploy.target import marks

if TYPE_CHECKING:
    from metamcp_deploy.config.model import Waits
    from metamcp_deploy.workspace import Workspace


def _exists(workspace: Workspace, name: str) -> bool:
    return workspace.lakebase.find(name) is not None


def _delete(workspace: Workspace, name: str, within: Waits) -> None:
    workspace.lakebase.delete(name, within.database)


def _purge(workspace: Workspace, name: str, within: Waits) -> None:
    workspace.lakebase.delete(name, within.database, purge=True)


def _owner(workspace: Workspace, project: str) -> str:
    return str(fields.status(workspace.lakebase.find(project)).get("owner") or "")


def _marked(workspace: Workspace, project: str, root: str) -> bool | None:
    return marks.said(fields.status(workspace.lakebase.find(project)).get(fields.TAGS), root)


def _in_marked(workspace: Workspace, name: str, root: str) -> bool | None:
    """By lying in a project that this target made; in one of another, the ledger counts."""
    return _marked(workspace, "/".join(name.split("/")[:2]), root) or None


def _kind(name: str, *inside: str, label: str = "", **more: Any) -> Kind:
    more = {"marked": _in_marked, **more}
    return Kind(name, f"Lakebase {label or name}", "database", _exists, _delete, inside=inside, **more)


_ON_BRANCH = ("project", "branch", "branches")

PROJECT = _kind("project", creator=_owner, purge=_purge, marked=_marked, others=marks.SAYS_ANOTHER)
KINDS = (
    # Made by rollbacks; each is deleted before the branch that it came from.
    _kind("branches", "project", label="branch"),
    _kind("database", *_ON_BRANCH),
    _kind("role", *_ON_BRANCH),
    _kind("branch", "project"),
    _kind("endpoint", *_ON_BRANCH, alone=False),
    PROJECT,
)
