"""What each kind of thing does in a convergence: look, say what would change, change it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metamcp_deploy.config.model import Settings
from metamcp_deploy.plan import Change
from metamcp_deploy.target.desired import Desired
from metamcp_deploy.target.ledger import Ledger, Things
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App


@dataclass
class Context:
    """What the parts of a convergence know.

    Attributes:
        site: the target's place in its workspace.
        desired: how it should be.
        adopt: `--adopt`: take over an app of somebody else.
        ledger: what the target made so far, as `claims` recognises it.
        kept: the ledger as it is in the workspace.
        made: what parts have made since, for the ledger: (kind, name).
        record: path and content of the running deployment's record; None without one.
        app: the app as it was seen or made last; None while there is none.
        written: key of the secret scope → when it was last written; None where that is not known (any more).
    """

    site: Site
    desired: Desired
    adopt: bool = False
    ledger: Ledger = field(default_factory=Ledger)
    kept: Ledger = field(default_factory=Ledger)
    made: list[tuple[str, str]] = field(default_factory=list)
    record: tuple[str, dict[str, Any]] | None = None
    app: App | None = None
    written: dict[str, int] | None = None

    @property
    def workspace(self) -> Workspace:
        """Logged in."""
        return self.site.workspace

    @property
    def deployed(self) -> Mapping[str, Any]:
        """What runs, by its record: tells what was changed by hand since from what the settings changed."""
        return self.record[1] if self.record else {}

    def stated(self, what: str, name: str) -> Mapping[str, Any]:
        """What the settings stated of a thing of the database when what runs was deployed, by its record."""
        told = ((self.deployed.get("desired") or {}).get("database") or {}).get(what) or {}
        return told if told.get("name") == name else {}

    @property
    def settings(self) -> Settings:
        """Of the target."""
        return self.site.project.settings


class Part(ABC):
    """One kind of thing: a database, the secret scope, the app, ... Made anew for each look."""

    def __init__(self, context: Context) -> None:
        self.context = context

    @abstractmethod
    def look(self) -> None:
        """Asks the workspace, and changes nothing. Runs beside the looks of other parts.

        Raises:
            DeployError: for what no change of this tool can heal.
        """

    @abstractmethod
    def changes(self) -> tuple[Change, ...]:
        """What would be done, kept things included; from what `look` saw, without a request."""

    def makes(self) -> Things:
        """What of `changes` the ledger is to name before it is made; `apply` claims each once it is."""
        return {}

    def claim(self, what: str, names: Iterable[str]) -> None:
        """Notes what is made, for the ledger; from any thread."""
        self.context.made.extend((what, name) for name in names)

    @abstractmethod
    def apply(self) -> None:
        """Carries the changes out, also after an earlier run got half way, and emits `Changed` for each thing."""
