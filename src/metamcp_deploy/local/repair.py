"""Starts again what died in a workspace that runs: at once by itself, and at `local up`."""

from __future__ import annotations

import logging
import time

from metamcp_deploy.errors import DeployError
from metamcp_deploy.local.apps.apps import Apps
from metamcp_deploy.local.context import Context

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 30.0  # after a failure: what keeps PostgreSQL from starting rarely goes away at once


class Repair:
    """The repairs of one workspace.

    Args:
        context: of it.
        apps: its apps.
    """

    def __init__(self, context: Context, apps: Apps) -> None:
        self.context = context
        self.apps = apps
        self._not_before = 0.0

    async def database(self) -> list[str]:
        """Starts PostgreSQL and the ports of the database again; the names of what had died.

        Raises:
            DeployError: POSTGRES_FAILED.
        """
        healed = await self.context.databases.lakebase.heal()
        return [*(["PostgreSQL"] if healed else []), *await self.context.doors.keep()]

    async def all(self) -> list[str]:
        """As `database`, and runs apps again whose process ended by itself, which the platform leaves CRASHED.

        Raises:
            DeployError: POSTGRES_FAILED.
        """
        started = await self.database()
        return [*started, *(f"app {name}" for name in self.apps.restart_crashed())]

    async def look(self) -> None:
        """One look at the database side, as often as wanted; a failure is logged, and not tried again for a while."""
        if time.monotonic() < self._not_before:
            return
        try:
            if started := await self.database():
                _log.warning("started again, as it had ended by itself: %s", ", ".join(started))
        except DeployError as e:
            self._not_before = time.monotonic() + _PAUSE_SECONDS
            _log.error("cannot be started again: %s %s", e.message, e.detail or "")
