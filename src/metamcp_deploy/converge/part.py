"""What a kind of thing provides: how it is looked at, planned, made, recognised and deleted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from metamcp_deploy.config.model import Settings, Waits
from metamcp_deploy.deployments.records import Record
from metamcp_deploy.plan import Change
from metamcp_deploy.release.releases import Release
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
        ledger: what the target made so far, as `ownership` recognises it.
        kept: the ledger as it is in the workspace.
        release: to be in the workspace; None while none is built.
        made: what parts have made since, for the ledger: (kind, name).
        record: of the running deployment; None without one.
        app: the app as it was seen or made last; None while there is none.
        signs_anew: this run makes the key that signs records and ledger.
        written: key of the secret scope → when it was last written; None where that is not known (any more).
    """

    site: Site
    desired: Desired
    adopt: bool = False
    ledger: Ledger = field(default_factory=Ledger)
    kept: Ledger = field(default_factory=Ledger)
    release: Release | None = None
    made: list[tuple[str, str]] = field(default_factory=list)
    record: Record | None = None
    app: App | None = None
    signs_anew: bool = False
    written: dict[str, int] | None = None

    @property
    def workspace(self) -> Workspace:
        """Logged in."""
        return self.site.workspace

    @property
    def deployed(self) -> Mapping[str, Any]:
        """What runs, by its record: by it, changes by hand are recognised among those of the settings."""
        return self.record.raw if self.record else {}

    def stated(self, what: str, name: str) -> Mapping[str, Any]:
        """What the settings stated of a thing of the database when what runs was deployed, by its record."""
        stated = ((self.deployed.get("desired") or {}).get("database") or {}).get(what) or {}
        return stated if stated.get("name") == name else {}

    @property
    def settings(self) -> Settings:
        """Of the target."""
        return self.site.project.settings


@dataclass(frozen=True)
class Kind:
    """One kind of thing as the ledger names it.

    Attributes:
        name: in the ledger.
        label: what people call it.
        section: of the settings; its `managed` decides whether the target may delete the thing.
        exists: whether a thing of this name is in the workspace.
        delete: deletes it and waits until it is gone; nothing where it does not exist.
        purge: as `delete`, for good, where what is deleted could be taken back; None where it cannot.
        creator: who made it; empty where that is not known.
        marked: whether the thing itself says that the target with this root made it; None where it cannot tell, and the
            signed ledger counts.
        others: in words, what makes `marked` say that it is another's.
        inside: kinds of things that contain it, by names that begin its name.
        alone: whether it can be deleted by itself.
    """

    name: str
    label: str
    section: Literal["app", "database", "secrets"]
    exists: Callable[[Workspace, str], bool]
    delete: Callable[[Workspace, str, Waits], None]
    purge: Callable[[Workspace, str, Waits], None] | None = None
    creator: Callable[[Workspace, str], str] = lambda workspace, name: ""
    marked: Callable[[Workspace, str, str], bool | None] = lambda workspace, name, root: None
    others: str = ""
    inside: tuple[str, ...] = ()
    alone: bool = True

    def made_here(self, workspace: Workspace, name: str, root: str) -> bool:
        """Whether the target with this root made it, by what it says itself; else whether this login created it."""
        said = self.marked(workspace, name, root)
        return self.creator(workspace, name) == workspace.me if said is None else said


Named = tuple[Kind, str]  # a thing: its kind and its name


class Part(ABC):
    """Everything about one kind of thing: a database, the secret scope, the app, ... Made anew for each look.

    Attributes:
        kinds: what the ledger names of it, in the order of deleting.
        needs_ledger: whether `look` needs the ledger and the running deployment's record.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ()
    needs_ledger: ClassVar[bool] = False

    @classmethod
    def of(cls, context: Context) -> Part | None:
        """The part of this kind; None where the target wants none."""
        return cls(context)

    @classmethod
    def contents(cls, ledger: Ledger, container: str, name: str) -> list[Named]:
        """All that the ledger names inside a thing: a project's branches, a scope's keys."""
        return [
            (kind, one)
            for kind in cls.kinds
            if container in kind.inside
            for one in (*ledger.names(kind.name), *ledger.intended.get(kind.name, ()))
            if one.startswith(f"{name}/")
        ]

    @classmethod
    def counts_inside(cls, settings: Settings, kind: Kind, name: str) -> bool:
        """Whether a thing that only an unsigned ledger names counts where it lies in one that the target made."""
        return True

    @classmethod
    def deletable(
        cls, workspace: Workspace, ledger: Ledger, exists: Callable[[Kind, str], bool]
    ) -> Iterator[Named]:
        """What the target made and has to be deleted by name: with a thing goes all that is inside it.

        Args:
            workspace: to look at more than whether something exists.
            ledger: of the target.
            exists: whether a thing is in the workspace.
        """
        made = [(kind, name) for kind in cls.kinds for name in ledger.names(kind.name)]
        within = [thing for kind, name in made for thing in cls.contents(ledger, kind.name, name)]
        for kind, name in made:
            if (kind, name) not in within and kind.alone and exists(kind, name):
                yield kind, name

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

    def claim_created(self, kind: Kind, name: str, created: bool) -> None:
        """Claims a thing that was missing: also one that exists by now, where this login made it in a lost call."""
        if created or kind.made_here(self.context.workspace, name, self.context.site.root):
            self.claim(kind.name, [name])

    @abstractmethod
    def apply(self) -> None:
        """Carries the changes out, also after an earlier run got half way, and emits `Changed` for each thing."""
