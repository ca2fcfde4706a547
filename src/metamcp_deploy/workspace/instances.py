"""Lakebase provisioned: database instances."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import services
from metamcp_deploy.workspace.clock import gone, poll
from metamcp_deploy.workspace.credential import Credential
from metamcp_deploy.workspace.services import content, created, optional
from metamcp_deploy.workspace.transport import Transport

if TYPE_CHECKING:
    from databricks.sdk.service.database import DatabaseAPI

_LONGEST_PAUSE = 10.0  # between two looks: an instance takes minutes


class Instances:
    """Database instances of a workspace, by name. What is read stays as it came: states may be newer than the SDK."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def _service(self) -> DatabaseAPI:
        return services.database(self._transport)

    def find(self, name: str) -> dict[str, Any] | None:
        """What the workspace reports of an instance; None when there is none."""
        return optional(lambda: self._get(name))

    def _get(self, name: str) -> dict[str, Any]:
        return self._transport.answer(lambda: self._service.get_database_instance(name))

    def credential(self, name: str) -> Credential:
        """A new password of this login for an instance; earlier ones stay valid.

        Raises:
            DeployError: NOT_FOUND, PERMISSION_DENIED; WORKSPACE_ANSWER without a token.
        """
        made = self._transport.answer(
            lambda: self._service.generate_database_credential(
                instance_names=[name], request_id=str(uuid.uuid4())
            )
        )
        return Credential.of(made, name)

    def create(self, name: str, fields: Mapping[str, Any]) -> bool:
        """Begins to create an instance; False when it existed."""
        wanted = content("database", "DatabaseInstance", {"name": name, **fields})
        return created(lambda: self._transport.answer(lambda: self._service.create_database_instance(wanted)))

    def change(self, name: str, fields: Mapping[str, Any]) -> None:
        """Begins to change these fields of an instance (`capacity`, `stopped`, ...) and no others."""
        wanted = content("database", "DatabaseInstance", {"name": name, **fields})
        mask = ",".join(sorted(fields))
        call = functools.partial(self._service.update_database_instance, name, wanted, mask)
        what, clock = f"the database instance {name}", self._transport.clock
        services.when_free(lambda: self._transport.answer(call), what, clock, self._transport.waits.database)

    def delete(self, name: str, within: float) -> None:
        """Deletes an instance with its data, and waits until it is gone; one that does not exist is fine.

        Raises:
            DeployError: REQUEST_REFUSED, DEADLINE.
        """
        optional(lambda: self._service.delete_database_instance(name, purge=True))
        gone(
            lambda: self.find(name),
            f"the database instance {name}",
            within,
            self._transport.clock,
            _LONGEST_PAUSE,
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
            state = str(self._get(name).get("state"))
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
            clock=self._transport.clock,
            longest=_LONGEST_PAUSE,
        )
