"""Adds, lists and clears the faults of a running workspace, over HTTP."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local import client
from metamcp_deploy.local.faults.fault import HINT, ROUTE, Fault

if TYPE_CHECKING:
    from metamcp_deploy.local.lifecycle import Running


def add(running: Running, fault: Fault, name: str | None = None) -> str:
    """Makes a fault strike from now on; its name, by which it is cleared.

    Raises:
        DeployError: LOCAL_DOWN.
    """
    return str(_call(running, "POST", {"name": name, **asdict(fault)})["name"])


def active(running: Running) -> list[dict[str, Any]]:
    """Every fault: its fields, `name`, `met` (matching calls so far) and `struck` (how often it struck).

    Raises:
        DeployError: LOCAL_DOWN.
    """
    found: list[dict[str, Any]] = _call(running, "GET")["faults"]
    return found


def clear(running: Running, name: str | None = None) -> int:
    """Ends one fault, or all; how many. Answers that are being held go out.

    Raises:
        DeployError: LOCAL_DOWN; NOT_FOUND for a name that none has.
    """
    cleared = int(_call(running, "DELETE", {"name": name})["cleared"])
    if name and not cleared:
        names = ", ".join(f["name"] for f in active(running)) or "none"
        raise DeployError(
            Code.NOT_FOUND,
            f"There is no fault {name} in the embedded workspace; active: {names}.",
            hint="metamcp-deploy local faults list",
        )
    return cleared


@contextlib.contextmanager
def injected(running: Running, fault: Fault) -> Iterator[Callable[[], int]]:
    """A fault for as long as the block lasts; returns a function for how often it occurred so far."""
    name = add(running, fault)

    def struck() -> int:
        return int(next((f["struck"] for f in active(running) if f["name"] == name), 0))

    try:
        yield struck
    finally:
        with contextlib.suppress(DeployError):  # the test may have ended the workspace, or cleared it
            clear(running, name)


def _call(running: Running, method: str, body: Mapping[str, Any] | None = None) -> Any:
    try:
        status, answer = client.call(running.url, method, ROUTE, running.token, body)
    except (OSError, http.client.HTTPException, ValueError) as e:
        raise DeployError(
            Code.LOCAL_DOWN,
            f"The embedded workspace at {running.url} does not answer: {e}.",
            hint="metamcp-deploy local up",
        ) from e
    if status != 200:
        raise DeployError(
            Code.USAGE, f"The embedded workspace refused the fault: {answer.get('message')}", hint=HINT
        )
    return answer
