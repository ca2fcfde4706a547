"""Lakebase branches: copies of a branch's databases as they are now, or as they were at a moment.

On the platform a branch shares storage with its source until either changes. Here its databases are copied: from the
running Postgres, or from a throw-away one that was taken back to that moment.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from metamcp_deploy.local.api.errors import ApiError, invalid
from metamcp_deploy.local.lakebase import specs
from metamcp_deploy.local.lakebase.autoscaling import Databases
from metamcp_deploy.local.lakebase.records import branch, endpoint, made
from metamcp_deploy.local.timing import stamp
from metamcp_deploy.postgres import Cluster, transfer

_LSN = re.compile(r"[0-9A-F]{1,8}/[0-9A-F]{1,8}")
_EXPIRY = ("expire_time", "ttl", "no_expiry")
_PAST = frozenset({"source_branch_time", "source_branch_lsn"})


@dataclass(frozen=True)
class Wanted:
    """A branch to be: its source, the moment (`at` in seconds since the epoch, or `lsn`, or now), and when it ends."""

    source: dict[str, Any]
    at: float | None
    lsn: str | None
    expires: float | None
    protected: bool


def wanted(databases: Databases, project: str, spec: dict[str, Any], now: float) -> Wanted:
    """What a request asks for.

    Raises:
        ApiError: 400 for a wrong or missing field, or a moment that the project's history does not reach; 404 for a
            source that is not there; 501 for a moment that only this workspace does not reach.
    """
    specs.checked("branches", spec)
    if "source_snapshot" in spec:
        raise ApiError(501, "NOT_IMPLEMENTED", "The embedded workspace does not imitate snapshots.")
    held = databases.resource(project)
    source_name = str(spec.get("source_branch") or held["default_branch"])
    if not source_name.startswith(f"{project}/branches/"):
        raise invalid(f"source_branch must be a branch of {project}, not {source_name}")
    source = databases.resource(source_name)
    if len(_PAST & set(spec)) > 1:
        raise invalid("source_branch_time and source_branch_lsn are mutually exclusive")
    at = _moment(spec["source_branch_time"]) if "source_branch_time" in spec else None
    if at is not None:
        _check_moment(at, now, held, source, databases.lakebase.cluster.remembers)
    lsn = spec.get("source_branch_lsn")
    if lsn is not None and not _LSN.fullmatch(str(lsn)):
        raise invalid(f"source_branch_lsn must be a position as 0/1A2B3C4, not {lsn!r}")
    return Wanted(source, at, lsn, expiry(spec, now), bool(spec.get("is_protected")))


def expiry(spec: dict[str, Any], now: float) -> float | None:
    """When a branch ends, in seconds since the epoch; None for never.

    Raises:
        ApiError: 400 unless exactly one of `expire_time`, `ttl` and `no_expiry: true` is there.
    """
    given = [name for name in _EXPIRY if name in spec]
    if len(given) != 1 or spec.get("no_expiry") is False:
        raise invalid("Exactly one of expire_time, ttl and no_expiry (true) must be given")
    if "no_expiry" in spec:
        return None
    end = now + specs.seconds(spec["ttl"]) if "ttl" in spec else _moment(spec["expire_time"])
    if end <= now:
        raise invalid("expire_time must be in the future")
    return end


def _moment(given: Any) -> float:
    try:
        found = datetime.fromisoformat(str(given))
    except ValueError as e:
        raise invalid(f"{given!r} is not a time as 2026-01-31T12:00:00.5Z") from e
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _precise(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _check_moment(
    at: float, now: float, project: dict[str, Any], source: dict[str, Any], remembered: float | None
) -> None:
    """The words of these refusals are unsure."""
    if at > now:
        raise invalid("source_branch_time must not be in the future")
    kept = project["settings"]["history_retention_duration"]
    if at < now - specs.seconds(kept):
        raise invalid(f"source_branch_time is before the project's history, which is kept for {kept}")
    if at < _moment(source["create_time"]):
        raise invalid(f"source_branch_time is before {source['name']} was created ({source['create_time']})")
    if remembered is None or at < remembered:
        since = "nothing" if remembered is None else f"what happened since {stamp(remembered)}"
        raise ApiError(501, "NOT_IMPLEMENTED", f"The embedded workspace remembers {since}.")


async def create(databases: Databases, name: str, asked: Wanted) -> str:
    """Creates a branch with the data that its source has, or had; its name.

    Raises:
        DeployError: POSTGRES_FAILED; nothing is left of the branch then.
    """
    record = await _copied(databases, name, asked)
    project, _, branch_id = name.rsplit("/", 2)
    databases.resource(project)["branches"][branch_id] = record
    databases.store.save()
    return name


async def _copied(databases: Databases, name: str, asked: Wanted) -> dict[str, Any]:
    """Copies the databases; the branch's record."""
    lakebase = databases.lakebase
    record = branch(name, default=False)
    position = asked.lsn or await lakebase.catalog.position()
    async with AsyncExitStack() as undo:
        async with _as_then(databases, asked) as cluster:
            there = await lakebase.catalog.grants(cluster)
            for identifier, database in asked.source["databases"].items():
                if database["physical"] not in there:
                    continue  # it was made later
                physical = databases.physical(name, database["postgres_database"])
                undo.push_async_callback(lakebase.catalog.drop_database, physical)
                await lakebase.catalog.create_database(physical)
                await lakebase.catalog.ensure_owners(cluster)
                await asyncio.to_thread(transfer, cluster, database["physical"], lakebase.cluster, physical)
                for role in there[database["physical"]]:
                    await lakebase.catalog.grant(role, physical)
                moved = {"name": f"{name}/databases/{identifier}", "physical": physical}
                role_name = f"{name}/roles/{database['role'].rpartition('/')[2]}"
                record["databases"][identifier] = made(moved["name"]) | {
                    **database,
                    **moved,
                    "role": role_name,
                }
        undo.pop_all()
    for identifier, role in asked.source["roles"].items():
        record["roles"][identifier] = {**role, "name": f"{name}/roles/{identifier}"}
    record["endpoints"]["primary"] = endpoint(name, "primary")
    return record | {
        "source_branch": asked.source["name"],
        "source_branch_time": _precise(time.time() if asked.at is None else asked.at),
        "source_branch_lsn": position,
        "expires": asked.expires,
        "is_protected": asked.protected,
    }


@asynccontextmanager
async def _as_then(databases: Databases, asked: Wanted) -> AsyncIterator[Cluster]:
    """The Postgres of the moment: the running one for now."""
    cluster = databases.lakebase.cluster
    if asked.at is None and asked.lsn is None:
        yield cluster
        return
    await databases.lakebase.catalog.position(
        mark=True
    )  # what is committed after the moment shows that it is over
    past = cluster.past(at=asked.at, lsn=asked.lsn)
    then = await asyncio.to_thread(past.__enter__)
    try:
        yield then
    finally:
        await asyncio.to_thread(past.__exit__, None, None, None)
