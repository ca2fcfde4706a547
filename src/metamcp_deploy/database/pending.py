"""`db migrate --plan`: what the next start would apply."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from metamcp_deploy.database import deployed, facts
from metamcp_deploy.database.deployed import Migration
from metamcp_deploy.database.opening import Opened
from metamcp_deploy.plan import Action, Change, Plan
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.config.project import Project

_KIND = "migration"


def plan(seen: Opened) -> Plan:
    """Each migration that is applied or would be: of the release built here, else of the one that runs."""
    built = _built(seen.place.project) if isinstance(seen.place, Site) else None
    journal = built if built is not None else seen.deployed.migrations
    which = "of the release built here" if built is not None else "of the release that runs"
    found = facts.migrations(seen.connection, seen.schema, journal)
    if not found.readable:
        reason = f"{seen.identity.role} may not read the ledger of migrations"
        return Plan((Change(Action.CHECK, "ledger", seen.schema.name, reason=reason),))
    if not found.known:
        reason = "the release cannot be read: which migrations it has is not known"
        return Plan((Change(Action.CHECK, "ledger", seen.schema.name, reason=reason),))
    changes: list[Change] = []
    if not seen.schema.exists:
        changes.append(
            Change(Action.CREATE, "schema", seen.schema.name, reason="the app's first start makes it")
        )
    changes += [_applied(one) for one in found.applied]
    changes += [
        Change(
            Action.CHECK,
            _KIND,
            name,
            reason="earlier than the last applied one: the migrator refuses to go on",
        )
        for name in found.skipped
    ]
    changes += [Change(Action.CREATE, _KIND, name, reason=which) for name in found.pending]
    return Plan(tuple(changes))


def _applied(one: facts.Applied) -> Change:
    if one.name is None:
        reason = "applied; the release does not know it"
    else:
        reason = "applied, from other SQL than the release's" if one.altered else "applied"
    return Change(Action.KEEP, _KIND, one.name or str(one.when), reason=reason)


def _built(project: Project) -> tuple[Migration, ...] | None:
    """Those of the release in `build/bundle`; None where nothing is built."""
    if project.bare:
        return None
    app = project.bundle / "app"
    with suppress(OSError, ValueError, KeyError):
        about = json.loads((app / "release.json").read_text())
        return deployed.journal((app / about["parts"]["migrations"]["file"]).read_bytes())
    return None
