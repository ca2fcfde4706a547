"""Statements through a SQL warehouse: the SDK's statement execution over our transport."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import sdk_import, services
from metamcp_deploy.workspace.clock import Clock
from metamcp_deploy.workspace.transport import Transport

if TYPE_CHECKING:
    from databricks.sdk.service.sql import StatementExecutionAPI

_AT_ONCE = "10s"  # for which the first call waits; a warehouse that starts takes longer, and is asked again
_WITHIN = 300.0  # seconds in all
_EVERY = 1.0
_UNDER_WAY = frozenset({"PENDING", "RUNNING"})


class Warehouse:
    """One SQL warehouse."""

    def __init__(self, transport: Transport, clock: Clock, warehouse_id: str) -> None:
        self._transport = transport
        self._clock = clock
        self._id = warehouse_id

    @property
    def _service(self) -> StatementExecutionAPI:
        return services.statements(self._transport)

    def rows(
        self, statement: str, parameters: Mapping[str, tuple[str, str]]
    ) -> Iterator[Sequence[str | None]]:
        """The rows of a query, in their order.

        Args:
            statement: with `:name` for each parameter.
            parameters: name → value and SQL type.

        Raises:
            DeployError: REQUEST_REFUSED, with what the warehouse says; DEADLINE; those of the workspace.
        """
        item = sdk_import.module("service.sql").StatementParameterListItem
        given = [item(name=name, value=value, type=kind) for name, (value, kind) in parameters.items()]
        answer = self._transport.answer(
            lambda: self._service.execute_statement(
                statement, self._id, parameters=given, wait_timeout=_AT_ONCE
            )
        )
        answer = self._ended(answer)
        id_ = str(answer.get("statement_id"))
        result: dict[str, Any] = answer.get("result") or {}
        while True:
            yield from result.get("data_array") or ()
            following = result.get("next_chunk_index")
            if following is None:
                return
            result = self._transport.answer(self._chunk(id_, int(following)))

    def _chunk(self, id_: str, number: int) -> Any:
        return lambda: self._service.get_statement_result_chunk_n(id_, number)

    def _ended(self, answer: dict[str, Any]) -> dict[str, Any]:
        id_ = str(answer.get("statement_id"))
        began = self._clock.now()
        while (status := answer.get("status") or {}).get("state") in _UNDER_WAY:
            if self._clock.now() - began > _WITHIN:
                raise DeployError(
                    Code.DEADLINE,
                    f"The SQL warehouse {self._id} did not answer within {_WITHIN:.0f} s.",
                    hint="Look in the workspace, under SQL Warehouses, whether it starts; then run the command again.",
                )
            self._clock.pause(_EVERY)
            answer = self._transport.answer(lambda: self._service.get_statement(id_))
        if status.get("state") != "SUCCEEDED":
            said = (status.get("error") or {}).get("message") or f"the statement is {status.get('state')}"
            raise DeployError(
                Code.REQUEST_REFUSED,
                f"The SQL warehouse {self._id} refuses the query: {str(said).splitlines()[0][:300]}",
                hint="The login needs CAN USE on the warehouse, USE CATALOG, USE SCHEMA and SELECT on the table.",
            )
        return answer
