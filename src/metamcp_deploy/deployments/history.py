"""What ran on a target: the records of its deployments, beside what the workspace knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy.deployments import records
from metamcp_deploy.deployments.records import Record
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App, Deployment

_PAGE = 100  # deployments come in one answer; and the clocks of those who wrote records may differ
BY_HAND = "by hand"  # no record of this tool: somebody pressed Deploy, or used another tool


@dataclass(frozen=True)
class Entry:
    """One deployment.

    Attributes:
        deployment: id.
        at: when it began (ISO 8601).
        by: who deployed.
        kind: `deploy`, `rollback`, `destroy`, or `by hand`.
        outcome: SUCCEEDED, FAILED, UNHEALTHY, IN_PROGRESS, CANCELLED, or what else the platform says.
        runs: whether it is what runs now.
        known: whether the workspace still knows it; it forgets those of an app that was deleted.
        release: id; None where its code came from elsewhere.
        pin: upstream's ref.
        commit: of upstream.
        of: the deployment that a rollback repeats.
        configuration: `{"commit", "dirty"}` of whoever deployed; None outside of git.
        pipeline: address of the CI run.
        message: of whoever deployed.
        error: why it failed, where that was kept.
        restored: the database branch that a rollback made, and from when.
        signed: whether the record's signature is valid; None where there is no record.
    """

    deployment: str
    at: str
    by: str
    kind: str
    outcome: str
    runs: bool
    known: bool
    release: str | None = None
    pin: str | None = None
    commit: str | None = None
    of: str | None = None
    configuration: dict[str, Any] | None = None
    pipeline: str | None = None
    message: str | None = None
    error: str | None = None
    restored: dict[str, Any] | None = None
    signed: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return asdict(self)


def look(site: Site, count: int | None = None) -> list[Entry]:
    """The newest deployments of a target's app, newest first; only reads.

    Args:
        site: of the target.
        count: so many; None for all.
    """
    workspace, name = site.workspace, site.project.settings.app.name
    with ThreadPoolExecutor(3, thread_name_prefix="history") as pool:
        asked = pool.submit(workspace.apps.find, name)
        kept = pool.submit(records.newest, site, count)
        app = asked.result()
        known = workspace.apps.deployments(name, count and max(count, _PAGE)) if app else []
        return merged(app, known, kept.result())[:count]


def merged(app: App | None, known: Sequence[Deployment], kept: Sequence[Record]) -> list[Entry]:
    """What the workspace knows and what was recorded as one list, newest first."""
    running = app.active.id if app and app.active else None
    by_id = {one.id: one for one in known}
    entries = [_recorded(record, by_id.pop(record.deployment, None), running) for record in kept]
    entries += [_by_hand(one, running) for one in by_id.values()]
    # The workspace lists the newest first, and knows the order of those that its clock gives one time.
    rank = {one.id: -place for place, one in enumerate(known)}
    return sorted(
        entries, key=lambda entry: (entry.at, rank.get(entry.deployment, -len(known))), reverse=True
    )


def _recorded(record: Record, known: Deployment | None, running: str | None) -> Entry:
    raw = record.raw
    # A run that was killed left the outcome open; the platform knows it.
    open_ended = record.outcome == "IN_PROGRESS" and known is not None
    return Entry(
        deployment=record.deployment,
        at=_began(known) or record.at,
        by=str(raw.get("by") or ""),
        kind=record.kind,
        outcome=known.state if open_ended and known else record.outcome,
        runs=record.deployment == running,
        known=known is not None,
        release=record.release or None,
        pin=record.pin,
        commit=(raw.get("upstream") or {}).get("commit"),
        of=record.of,
        configuration=raw.get("configuration"),
        pipeline=raw.get("pipeline"),
        message=raw.get("message"),
        error=raw.get("error"),
        restored=raw.get("restored"),
        signed=record.signed,
    )


def _by_hand(known: Deployment, running: str | None) -> Entry:
    release = known.source_code_path.rstrip("/").rsplit("/releases/", 1)
    return Entry(
        deployment=known.id,
        at=_began(known),
        by=known.creator,
        kind=BY_HAND,
        outcome=known.state,
        runs=known.id == running,
        known=True,
        release=release[1] if len(release) == 2 else None,
    )


def _began(known: Deployment | None) -> str:
    """When a deployment began, on the workspace's clock; empty where that is not known."""
    began = known.create_time if known else None
    return "" if began is None else records.stamp(began)
