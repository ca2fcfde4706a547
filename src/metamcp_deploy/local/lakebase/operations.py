"""Long-running operations of the Lakebase family: what changes something answers with one, and clients poll it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from metamcp_deploy.local.api.errors import ApiError, not_found
from metamcp_deploy.local.tasks import Tasks
from metamcp_deploy.local.timing import Timing

_log = logging.getLogger(__name__)


class Operations:
    """The operations of one workspace; they end with it.

    Attributes:
        under_way: names of what is being made or deleted.
        reconciling: names of endpoints that show a pending state and refuse changes.
    """

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.under_way: set[str] = set()
        self.reconciling: set[str] = set()
        self._known: dict[str, dict[str, Any]] = {}
        self._tasks = Tasks()

    def get(self, name: str) -> dict[str, Any]:
        """An operation as it is now.

        Raises:
            ApiError: 404.
        """
        if name not in self._known:
            raise not_found(f"operation id not found: {name}")
        return self._known[name]

    def begin(self, name: str, what: str, work: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
        """One that is never done in its first answer.

        Args:
            name: of what is made or deleted.
            what: in the table of `timing`.
            work: does it, and gives what the operation answers in the end.
        """
        operation = self._new(name)
        self.under_way.add(name)

        async def run() -> None:
            try:
                await self.timing.passes(what)
                operation["response"] = await work()
            except ApiError as e:
                operation["error"] = {"error_code": e.error_code, "message": e.message}
            except Exception as e:
                _log.exception("%s", operation["name"])
                operation["error"] = {"error_code": "INTERNAL_ERROR", "message": f"{type(e).__name__}: {e}"}
            self.under_way.discard(name)
            operation["done"] = True

        self._tasks.start(run())
        return dict(operation)

    def reconcile(self, name: str) -> None:
        """An endpoint was changed: it is reconciled for a while, also after the operation is done."""
        if not self.timing.seconds("lakebase.reconcile"):
            return
        self.reconciling.add(name)

        async def run() -> None:
            await self.timing.passes("lakebase.reconcile")
            self.reconciling.discard(name)

        self._tasks.start(run())

    def settle(self, name: str, what: str, response: dict[str, Any]) -> dict[str, Any]:
        """One for a change that was made already: done at once, unless such things take their time."""
        operation = self._new(name)
        if self.timing.seconds(what):

            async def run() -> None:
                await self.timing.passes(what)
                operation.update(done=True, response=response)

            self._tasks.start(run())
        else:
            operation.update(done=True, response=response)
        return dict(operation)

    def _new(self, name: str) -> dict[str, Any]:
        operation = {"name": f"{name}/operations/{uuid.uuid4()}", "done": False, "metadata": {}}
        self._known[str(operation["name"])] = operation
        return operation
