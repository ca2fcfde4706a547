"""Looks at a target as a whole, plans its changes, and makes them in the order in which things need each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from metamcp_deploy import events
from metamcp_deploy.converge import kinds, ownership, parallel, second_owner
from metamcp_deploy.converge.part import Context, Part
from metamcp_deploy.deployments import records
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import Change, Plan
from metamcp_deploy.release import releases
from metamcp_deploy.target import ledger, session, signing, writers
from metamcp_deploy.target.desired import Desired
from metamcp_deploy.target.ledger import Ledger
from metamcp_deploy.target.site import Site

# Failures after which the workspace still answers: what was made beside them is written down.
_ANSWERED = frozenset(
    {
        *(Code.PERMISSION_DENIED, Code.REQUEST_REFUSED, Code.ALREADY_EXISTS, Code.FEATURE_MISSING),
        *(Code.BUSY, Code.ID_RESERVED),
    }
)
# An action as events word it.
_KEPT = "kept"


def converged(
    site: Site, desired: Desired, release: releases.Release, *, adopt: bool = False, force_lock: bool = False
) -> Context:
    """Makes the target so, all but the deployment. Where nothing differs nothing is written and no lock is taken.

    Args:
        site: of the target.
        desired: how it should be.
        release: to be there.
        adopt: take over an app that somebody else made.
        force_lock: take the target's lock although somebody holds it.

    Returns:
        What is known afterwards, the app above all.

    Raises:
        DeployError: those of the parts; LOCK_HELD; ALREADY_EXISTS, where the official command line owns the target.
    """
    found = Target(Context(site, desired, adopt), release)
    found.context.app = site.workspace.apps.find(desired.app.name)
    if found.context.app is not None and not found.look(before_writing=False).differs and found.recorded:
        found.keep()
        return found.context
    writers.allow(site)
    with session.locked(site, force_lock):
        found = Target(Context(site, desired, adopt), release)
        found.context.app = site.workspace.apps.find(desired.app.name)
        found.look()
        found.apply()
        return found.context


class Target:
    """One look at a target, and what follows from it."""

    def __init__(self, context: Context, release: releases.Release | None) -> None:
        self.context = context
        context.release = release
        made = ([kind.of(context) for kind in group] for group in kinds.GROUPS)
        self.groups = [[part for part in group if part is not None] for group in made]

    @property
    def parts(self) -> list[Part]:
        """All of them, in the order of making."""
        return [part for group in self.groups for part in group]

    def look(self, before_writing: bool = True) -> Plan:
        """Looks at everything at once; the app was looked at before.

        Args:
            before_writing: also at who else may manage the target from here.

        Raises:
            DeployError: as the parts.
        """
        clock = self.context.workspace.clock
        state = self._state if before_writing else self._ledger
        first = [part.look for part in self.parts if not part.needs_ledger]
        parallel.run([state, self._record, *first], clock)
        for part in self.parts:
            if part.needs_ledger:
                part.look()
        return self.plan()

    def plan(self) -> Plan:
        """What `apply` would do."""
        return Plan(tuple(change for part in self.parts for change in part.changes()))

    def apply(self) -> None:
        """Carries the plan out, group after group; the ledger records before what is to be made, and after what was."""
        wanted = self.context.ledger
        for part in self.parts:
            wanted = wanted.intending(part.makes(), self.context.workspace.me)
        self._write(wanted)
        for group in self.groups:
            for part in group:
                if not _differs(part):
                    _keep(part.changes())
            try:
                parallel.run([part.apply for part in group if _differs(part)], self.context.workspace.clock)
            except DeployError as e:
                if e.code in _ANSWERED:
                    self._claim()
                raise
            self._claim()

    @property
    def recorded(self) -> bool:
        """Whether the ledger in the workspace says what is known, signed where that is possible."""
        signed = self.context.kept.signed or not signing.of(self.context.site).keys
        return self.context.ledger == self.context.kept and signed

    def _claim(self) -> None:
        """Writes down what was made since."""
        made = self.context.ledger
        for what, name in self.context.made:
            made = made.plus({what: [name]})
        self._write(made)

    def _write(self, new: Ledger) -> None:
        self.context.ledger = new
        if not self.recorded:
            ledger.write(self.context.site, new)
            self.context.kept = replace(new, signed=bool(signing.of(self.context.site).keys))

    def keep(self) -> None:
        """Reports that everything is as it should be."""
        _keep(self.plan().changes)

    def _state(self) -> None:
        """The ledger, and whether the official command line manages the same from here: the two would fight."""
        files, root = self.context.workspace.files, self.context.site.root
        names = set(files.entries(f"{root}/state"))
        if ledger.NAME in names:
            self._ledger()
        second_owner.hold(self.context, root, names)
        if self.context.app is not None and not self.context.kept.proves("app", self.context.app.name):
            second_owner.elsewhere(self.context, self.context.app)

    def _ledger(self) -> None:
        self.context.kept = ledger.read(self.context.site)
        found = ownership.recognised(self.context.site, self.context.kept)
        self.context.ledger = ownership.proven(self.context.site, found)

    def _record(self) -> None:
        app = self.context.app
        if app is not None and app.active is not None:
            self.context.record = records.find(self.context.site, app.active.id)


def _differs(part: Part) -> bool:
    return any(change.differs for change in part.changes())


def _keep(changes: Sequence[Change]) -> None:
    for change in changes:
        events.emit(events.Changed(_KEPT, change.kind, change.name))
