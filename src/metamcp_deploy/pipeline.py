"""Stages as data: why a stage has to run, and running it. Knows nothing about the work of a stage."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from metamcp_deploy import atomic, events
from metamcp_deploy.errors import Code, DeployError

Facts = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One stage.

    Attributes:
        name: `prepare`, `patch`, ...
        inputs: label → digest of what it reads (files, facts of earlier stages).
        params: label → value from settings or tool versions, JSON.
        outputs: files or folders that exist afterwards.
        run: does the work, all or nothing, and returns facts for `build/state/<name>.json`.
        summary: facts → one line for people.
        converges: a remote stage: always looked at, never skipped on local memory alone.
        valid: facts of the last run → None, or why the outputs are no longer what that run left.
        forced: why it runs although nothing changed, such as an option.
        finish: facts → those of the outcome; called at the end, also of a stage that is up to date.
    """

    name: str
    inputs: Mapping[str, str]
    params: Mapping[str, Any]
    outputs: tuple[Path, ...]
    run: Callable[[], Facts]
    summary: Callable[[Facts], str] = field(default=lambda _: "")
    converges: bool = False
    valid: Callable[[Facts], str | None] = field(default=lambda _: None)
    forced: str | None = None
    finish: Callable[[Facts], Facts] = field(default=lambda facts: facts)


@dataclass(frozen=True)
class Flag:
    """How the command line names a wish: a stage annotates the fields of its `Wishes` with it.

    A flag of a field that is true by default denies it (`--no-verify`).
    """

    names: tuple[str, ...]
    help: str
    metavar: str | None = None


@dataclass(frozen=True)
class NoWishes:
    """The wishes for a stage that has none."""


@dataclass(frozen=True)
class Outcome:
    """What happened to a stage: `ran` with its reason, or skipped; its facts; seconds it took."""

    stage: str
    ran: bool
    reason: str
    facts: Facts
    seconds: float


def recorded(state: Path, stage: str) -> dict[str, Any] | None:
    """The record of a stage's last good run: {fingerprint: {label: value}, facts}. None without one (or if broken)."""
    try:
        record: dict[str, Any] = json.loads((state / f"{stage}.json").read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    whole = isinstance(record, dict) and all(
        isinstance(record.get(k), dict) for k in ("fingerprint", "facts")
    )
    return record if whole else None


class _Recorded(dict[str, Any]):
    """Facts of a stage's record; one that is missing there, as somebody edited the file, is no bug."""

    def __init__(self, found: Facts, path: Path) -> None:
        super().__init__(found)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise DeployError(
            Code.STAGE_MISSING,
            f"{self._path} holds no `{key}`: it is not what `{self._path.stem}` wrote.",
            hint=f"Delete that file and run `metamcp-deploy {self._path.stem}` again.",
        )


def facts(state: Path, stage: str, wanted_by: str) -> Facts:
    """Facts of an earlier stage.

    Raises:
        DeployError: STAGE_MISSING, when it has not run.
    """
    record = recorded(state, stage)
    if record is None:
        raise DeployError(
            Code.STAGE_MISSING,
            f"`{wanted_by}` needs `{stage}`, which has not run in {state.parent.parent}.",
            hint=f"Run `metamcp-deploy {stage}` first, or `metamcp-deploy deploy` for all stages.",
        )
    return _Recorded(record["facts"], state / f"{stage}.json")


def why(step: Step, state: Path) -> str | None:
    """Why the stage would run now, in words; None when its outputs are up to date."""
    if step.forced:
        return step.forced
    if step.converges:
        return "compares with the workspace"
    record = recorded(state, step.name)
    if record is None:
        return "first run"
    for output in step.outputs:
        if not output.exists():
            return f"{output.name} is missing"
    before, now = record["fingerprint"], _labels(step)
    for label, value in now.items():
        if before.get(label) != value:
            return f"{label} changed"
    if gone := sorted(set(before) - set(now)):
        return f"{gone[0]} no longer counts"
    return step.valid(record["facts"])


def execute(step: Step, state: Path, *, force: str | None = None) -> Outcome:
    """Runs the stage if it has a reason to (`force` is one), and records it only after its outputs exist."""
    outcome = _executed(step, state, force or why(step, state))
    return replace(outcome, facts=step.finish(outcome.facts))


def _executed(step: Step, state: Path, reason: str | None) -> Outcome:
    if reason is None:
        events.emit(events.StageSkipped(step.name, "up to date"))
        record = recorded(state, step.name)
        return Outcome(step.name, False, "up to date", record["facts"] if record else {}, 0.0)
    events.emit(events.StageStarted(step.name, reason))
    started = time.monotonic()
    # The last run's record stays until this one has ended: its outputs stay too, and `valid` tells if they do not.
    found = step.run()
    if absent := [o for o in step.outputs if not o.exists()]:
        raise RuntimeError(f"stage {step.name} ended without its output {absent[0]}")
    atomic.write(
        state / f"{step.name}.json", json.dumps({"fingerprint": _labels(step), "facts": found}, indent=1)
    )
    seconds = time.monotonic() - started
    events.emit(events.StageFinished(step.name, seconds, step.summary(found)))
    return Outcome(step.name, True, reason, found, seconds)


def _labels(step: Step) -> dict[str, Any]:
    return {**step.inputs, **step.params}
