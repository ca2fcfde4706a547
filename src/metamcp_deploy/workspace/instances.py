"""Lakebase provisioned: database instances. One is made only when it is missing, and resized only when asked for."""

from __future__ import annotations

from typing import Any, Literal

from metamcp_deploy.config.model import NEW_CAPACITY
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace.api import Api
from metamcp_deploy.workspace.clock import poll

_ROOT = "/api/2.0/database/instances"
_WITHIN_SECONDS = 1200.0

Done = Literal["created", "changed", "kept"]


class Instances:
    """Database instances of a workspace, by name."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def find(self, name: str) -> dict[str, Any] | None:
        """What the workspace says of an instance; None when there is none."""
        return self._api.find(f"{_ROOT}/{name}")

    def ensure(self, name: str, capacity: str | None) -> Done:
        """Makes sure of an instance that is AVAILABLE.

        Args:
            name: of the instance.
            capacity: CU_1 … CU_8; None takes any that is there.

        Raises:
            DeployError: REQUEST_REFUSED when it is stopped or being deleted, DEADLINE.
        """
        there = self.find(name) is not None
        done: Done = "kept" if there else self._create(name, capacity or NEW_CAPACITY)
        if capacity and self._available(name).get("capacity") not in (None, capacity):
            query, body = {"update_mask": "capacity"}, {"name": name, "capacity": capacity}
            self._api.call("PATCH", f"{_ROOT}/{name}", query=query, body=body)
            done = "changed"
        self._available(name)
        return done

    def _create(self, name: str, capacity: str) -> Done:
        try:
            self._api.call("POST", _ROOT, body={"name": name, "capacity": capacity})
        except DeployError as e:
            if e.code is Code.ALREADY_EXISTS:  # somebody was faster, or an earlier answer was lost
                return "kept"
            raise
        return "created"

    def _available(self, name: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            seen: dict[str, Any] = self._api.call("GET", f"{_ROOT}/{name}")
            state = seen.get("state")
            if state in ("STOPPED", "DELETING"):
                raise DeployError(
                    Code.REQUEST_REFUSED,
                    f"The database instance {name} is {state}, expected AVAILABLE.",
                    hint="Start it in the workspace (Compute, Database instances), or choose another "
                    "database.instance; then run the same command again.",
                )
            return seen if state == "AVAILABLE" else None

        return poll(
            look,
            what=f"the database instance {name} to be AVAILABLE",
            within=_WITHIN_SECONDS,
            hint="Run the same command again: it goes on waiting.",
            clock=self._api.clock,
            longest=10.0,
        )
