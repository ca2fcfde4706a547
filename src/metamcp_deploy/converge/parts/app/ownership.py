"""Who owns an app: decided by what the target recorded, and by where the app's code was taken from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metamcp_deploy.plan import OURS
from metamcp_deploy.target import locate
from metamcp_deploy.target.desired import MARK
from metamcp_deploy.target.ledger import Ledger

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App


@dataclass(frozen=True)
class Ownership:
    """Who owns an app.

    Attributes:
        ours: whether this target made it, or deployed to it last.
        creator: who made it; empty where the workspace does not say.
        root: of the other target that owns it, with its releases and records; empty where none is known.
    """

    ours: bool
    creator: str
    root: str = ""

    @property
    def owner(self) -> str:
        """In words."""
        return OURS if self.ours else self.creator

    def usable(self, me: str) -> bool:
        """Whether a login may deploy to it without `--adopt`."""
        return self.ours or (self.creator == me and not self.root)


def of_app(app: App, root: str, ledger: Ledger) -> Ownership:
    """Who owns an app, seen from the target with this root and ledger."""
    source, creator = (str(app.raw.get(k) or "") for k in ("default_source_code_path", "creator"))
    other = locate.root_of(app)
    if ledger.proves("app", app.name) or other == root or source.startswith(f"{root}/"):
        return Ownership(True, creator)
    # Made by this tool, then deployed to from elsewhere: its code has a place, which is no target's root.
    marked = MARK in str(app.raw.get("description") or "")
    return Ownership(False, creator, other or (source if marked else ""))
