"""Whether what is there is what a run that never told was about to make: its answer was lost, or it was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target.ledger import Ledger

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace

# Containers first: what is in a thing of ours is ours.
_TELLING = ("app", "project", "instance", "scope")


def recognised(workspace: Workspace, ledger: Ledger) -> Ledger:
    """The ledger once what was intended is judged; no request where nothing is.

    A thing counts as made where its maker is the login that intended it, or where it is in something the target made.
    One of another maker is claimed no more. What is not there, or does not tell, stays intended.
    """
    for what in _TELLING:
        for name, intent in ledger.intended.get(what, {}).items():
            by = maker(workspace, what, name)
            if by == intent.by:
                ledger = ledger.plus({what: [name]})
            elif by:
                ledger = ledger.less(what, name)
    return _inside(workspace, ledger)


def _inside(workspace: Workspace, ledger: Ledger) -> Ledger:
    for what, names in ledger.made.items():
        for inner, name in (pair for one in names for pair in ledger.inside(what, one)):
            if ledger.intends(inner, name) and there(workspace, inner, name):
                ledger = ledger.plus({inner: [name]})
    return ledger


def maker(workspace: Workspace, what: str, name: str) -> str:
    """Who made an app, a project, an instance or a scope; empty where it is not there, or does not tell."""
    if what == "app":
        app = workspace.apps.find(name)
        return str(app.raw.get("creator") or "") if app else ""
    if what == "project":
        return str(((workspace.lakebase.find(name) or {}).get("status") or {}).get("owner") or "")
    if what == "instance":
        return str((workspace.instances.find(name) or {}).get("creator") or "")
    return _scope_maker(workspace, name)


def _scope_maker(workspace: Workspace, scope: str) -> str:
    """The only one who manages a scope, as whoever makes one does; it does not tell its maker itself."""
    try:
        granted = workspace.secrets.granted(scope)
    except DeployError as e:
        if e.code not in (Code.NOT_FOUND, Code.PERMISSION_DENIED):
            raise
        return ""
    managers = sorted(who for who, level in granted.items() if level == "MANAGE")
    return managers[0] if len(managers) == 1 else ", ".join(managers)


def there(workspace: Workspace, what: str, name: str) -> bool:
    """Whether a thing is in the workspace."""
    if what == "app":
        return workspace.apps.find(name) is not None
    if what == "instance":
        return workspace.instances.find(name) is not None
    if what not in ("scope", "secrets"):
        return workspace.lakebase.find(name) is not None
    scope, _, key = name.partition("/")
    written = workspace.secrets.written(scope)
    return written is not None and (what == "scope" or key in written)
