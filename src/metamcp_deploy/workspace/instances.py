"""Lakebase provisioned: database instances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace.api import Api
from metamcp_deploy.workspace.clock import poll

_ROOT = "/api/2.0/database/instances"


class Instances:
    """Database instances of a workspace, by name."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def find(self, name: str) -> dict[str, Any] | None:
        """What the workspace says of an instance; None when there is none."""
        return self._api.find(f"{_ROOT}/{name}")

    def create(self, name: str, capacity: str) -> bool:
        """Begins to make an instance; False when it was there."""
        try:
            self._api.call("POST", _ROOT, body={"name": name, "capacity": capacity})
        except DeployError as e:
            if e.code is Code.ALREADY_EXISTS:  # somebody was faster, or an earlier answer was lost
                return False
            raise
        return True

    def change(self, name: str, fields: Mapping[str, Any]) -> None:
        """Begins to change these fields of an instance (`capacity`, `stopped`) and no others."""
        query = {"update_mask": ",".join(sorted(fields))}
        self._api.call("PATCH", f"{_ROOT}/{name}", query=query, body={"name": name, **fields})

    def delete(self, name: str, within: float) -> None:
        """Deletes an instance with its data, and waits until it is gone; one that is not there is fine.

        Raises:
            DeployError: REQUEST_REFUSED, DEADLINE.
        """
        try:
            self._api.call("DELETE", f"{_ROOT}/{name}", query={"purge": "true"})
        except DeployError as e:
            if e.code is not Code.NOT_FOUND:
                raise
            return
        poll(
            lambda: True if self.find(name) is None else None,
            what=f"the database instance {name} to be gone",
            within=within,
            hint="Run the same command again; or wait longer: --set waits.database=SECONDS",
            clock=self._api.clock,
            longest=10.0,
        )

    def available(self, name: str, within: float, starting: bool = False) -> None:
        """Waits until an instance is AVAILABLE.

        Args:
            name: of the instance.
            within: seconds.
            starting: it was STOPPED, and may say so for a while.

        Raises:
            DeployError: REQUEST_REFUSED, when it stops or is deleted meanwhile; DEADLINE.
        """

        def look() -> bool | None:
            state = str(self._api.call("GET", f"{_ROOT}/{name}").get("state"))
            if state == "DELETING" or (state == "STOPPED" and not starting):
                raise DeployError(
                    Code.REQUEST_REFUSED,
                    f"The database instance {name} is {state}, expected AVAILABLE.",
                    hint="Look at it in the workspace (Compute, Database instances); then run the same command again.",
                )
            return True if state == "AVAILABLE" else None

        poll(
            look,
            what=f"the database instance {name} to be AVAILABLE",
            within=within,
            hint="Run the same command again: it goes on waiting; or wait longer: --set waits.database=SECONDS",
            clock=self._api.clock,
            longest=10.0,
        )
