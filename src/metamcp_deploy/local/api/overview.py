"""How a workspace is, without secrets: for `local status` and for the landing page."""

from __future__ import annotations

import asyncio
from typing import Any

from metamcp_deploy.local.api.apps import AppsApi
from metamcp_deploy.local.context import Context
from metamcp_deploy.local.faults.injection import Faults
from metamcp_deploy.local.lakebase.provisioned import own_database


async def of(context: Context, apps: AppsApi, faults: Faults) -> dict[str, Any]:
    """Its apps, its Postgres with the port of each endpoint and instance, and the faults that are active."""
    shown = [apps.shown(name) for name in sorted(apps.apps.records)]
    return {
        "apps": [
            {
                "name": app["name"],
                "url": app["url"],
                "compute": app["compute_status"]["state"],
                "state": app["app_status"]["state"],
                "message": app["app_status"]["message"],
            }
            for app in shown
        ],
        "postgres": await _postgres(context),
        "faults": [a.shown() for a in faults.active.values()],
    }


async def _postgres(context: Context) -> dict[str, Any]:
    lakebase = context.databases.lakebase
    runs = await asyncio.to_thread(lakebase.cluster.running)
    await context.doors.keep()
    own = map(own_database, context.instances.records)
    return {
        "state": "RUNNING" if runs else "DOWN",
        # Between its end and the next look there is no reason yet.
        "problem": None if runs else lakebase.problem.message if lakebase.problem else "It ended by itself.",
        "restarts": lakebase.restarts,
        "logins": vars(lakebase.logins),
        "host": lakebase.host,
        "port": lakebase.port,
        "sslmode": lakebase.sslmode,
        "databases": sorted([*context.databases.physicals(), *own]),
        "endpoints": dict(sorted(lakebase.doors.items())),
    }
