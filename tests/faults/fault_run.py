"""Runs fault cases, several at once, each worker with an embedded workspace of its own.

python -m tests.faults.fault_run --whole                      every case there is
python -m tests.faults.fault_run --only scopes --kinds lost   those with `scopes` in their name
python -m tests.faults.fault_run --seconds 90 --seed abc      as many as fit, as CI runs them
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metamcp_deploy import events
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local import faults
from tests.faults.fault_acts import ACTS, sent
from tests.faults.fault_cases import Call, Case, Row, calls, every, part, table
from tests.faults.fault_world import World, elsewhere, root

# A run that meets one fault may take so much longer than one without, with the waits of `fault_world`.
ONE_FAULT_SECONDS = 20.0
OUTAGE_SECONDS = 45.0
_UNCLEAR = {Code.BUG, Code.USAGE, Code.INTERRUPTED}


@dataclass(frozen=True)
class Reference:
    """An act without faults: its calls, how many requests its process sends, what there is after it."""

    met: list[Call]
    sent: int
    seen: dict[str, Any]
    seconds: float


@dataclass
class Bench:
    """A worker with its workspace."""

    world: World
    count: int = 0

    def tenant(self) -> Project:
        """A new one."""
        self.count += 1
        return self.world.tenant(f"m{os.getpid()}x{self.count}x")

    def reference(self, act: str) -> Reference:
        """How an act goes without faults."""
        project = self.tenant()
        ACTS[act].before(project)
        place, began = self.world.place(), time.monotonic()
        ACTS[act].run(ACTS[act].settings(project))
        took = time.monotonic() - began
        met = calls(self.world.requests(place), project.settings.app.name)
        seen = self.world.seen(project)
        self.world.remove(project)
        project = self.tenant()
        ACTS[act].before(project)
        requests, code = sent(act, project)
        if code:
            raise AssertionError(f"{act} in a process of its own ended with {code}")
        self.world.remove(project)
        return Reference(met, len(requests), seen, took)

    def row(self, case: Case, reference: Reference) -> Row:
        """Runs a case."""
        project, began = self.tenant(), time.monotonic()
        try:
            ACTS[case.act].before(project)
            began = time.monotonic()
            end, why = (self._killed if case.kind.startswith("kill") else self._struck)(
                case, project, reference
            )
        except AssertionError as e:
            end, why = "BROKEN", str(e)
        except Exception as e:
            end, why = "BROKEN", f"{type(e).__name__}: {e}"
        took = time.monotonic() - began
        faults.clear(self.world.running)
        try:
            self.world.remove(project)
        except AssertionError as e:  # told, but it says nothing about the tool
            print(f"what {case} left: {e}", flush=True)
        return Row(case, end, why, took)  # type: ignore[arg-type]

    def _struck(self, case: Case, project: Project, reference: Reference) -> tuple[str, str]:
        assert case.call
        secret = self.world.secret(project)
        nth = f"{case.call.nth}-" if case.lasts else str(case.call.nth)
        route = case.call.route(project.settings.app.name)
        seconds = 0.2 if case.kind == "429" else None
        if case.lasts:
            # All calls from this one on: what comes before it is counted as in the reference.
            nth, route = f"{reference.met.index(case.call) + 1}-", "* *"
        told: list[events.Event] = []
        fault = faults.Fault(case.kind, route, calls=nth, seconds=seconds)
        with faults.injected(self.world.running, fault) as struck:
            with events.listening(told.append):
                error, took = self._run(case.act, project, ACTS[case.act].run)
            met = struck()
        limit = reference.seconds + (OUTAGE_SECONDS if case.lasts else ONE_FAULT_SECONDS)
        if took > limit:
            raise AssertionError(f"it took {took:.0f} s")
        if error is None:
            if case.lasts and self.world.lock(project):
                self._left(project, told)
            self._same(case, project, reference, secret)
            return ("healthy" if met else "not met"), ""
        if not met:
            raise AssertionError(f"without a fault: {error}")
        self._clear(error)
        if not case.lasts and self.world.lock(project):
            raise AssertionError(f"the lock is left after {error.code}: {error}")
        return self._again(case, project, reference, secret, "error, then healthy", error)

    def _left(self, project: Project, told: list[events.Event]) -> None:
        """All was done when the workspace went away, but the lock could not be let go: that is told."""
        if not any("could not be let go" in e.text for e in told if isinstance(e, events.Warned)):
            raise AssertionError("the lock is left, and nothing tells it")
        path = f"{root(project)}/state/deploy.lock"
        self.world.ask("POST", "workspace/delete", body={"path": path})

    def _killed(self, case: Case, project: Project, reference: Reference) -> tuple[str, str]:
        secret = self.world.secret(project)
        requests, code = sent(case.act, project, case.kind, case.number)
        if len(requests) < case.number:
            self._same(case, project, reference, secret)
            return "not met", ""
        if code != -9:
            raise AssertionError(f"it was to be killed, and ended with {code}")
        return self._again(case, project, reference, secret, "killed, then healthy", None)

    def _again(
        self,
        case: Case,
        project: Project,
        reference: Reference,
        secret: str | None,
        end: str,
        error: DeployError | None,
    ) -> tuple[str, str]:
        again = project
        if case.kind == "kill, elsewhere":
            again = elsewhere(project)
            if self.world.lock(project):
                self._locked_out(case, again, secret)
        second, _ = self._run(case.act, again, self._follows(case, project, secret))
        first = f"{error.code}: {error.message}" if error else "killed"
        if second is not None:
            raise AssertionError(f"the rerun failed ({second.code}: {second.message}) after {first}")
        self._same(case, project, reference, secret or self.world.secret(project), first)
        return end, str(error.code) if error else ""

    def _follows(self, case: Case, project: Project, secret: str | None) -> Callable[[Project], None]:
        """What is run after a run that did not come to its end."""
        act = ACTS[case.act]
        return act.run if act.new_secret and secret == self.world.secret(project) else act.again

    def _locked_out(self, case: Case, project: Project, secret: str | None) -> None:
        """A run elsewhere says who holds the lock that a killed one left; then the user takes it."""
        error, _ = self._run(case.act, project, self._follows(case, project, secret))
        if error and (error.code is not Code.LOCK_HELD or "--force-lock" not in error.hint):
            raise AssertionError(f"the lock of a killed run, met elsewhere: {error}")
        path = f"{root(project)}/state/deploy.lock"
        self.world.ask("POST", "workspace/delete", body={"path": path})

    def _run(
        self, act: str, project: Project, run: Callable[[Project], None]
    ) -> tuple[DeployError | None, float]:
        began = time.monotonic()
        try:
            run(ACTS[act].settings(project))
        except DeployError as e:
            return e, time.monotonic() - began
        return None, time.monotonic() - began

    def _same(
        self,
        case: Case,
        project: Project,
        reference: Reference,
        secret: str | None,
        after: str = "exit 0",
    ) -> None:
        """All is as after the act without faults."""
        seen = self.world.seen(project)
        for what, wanted in reference.seen.items():
            if seen[what] != wanted:
                raise AssertionError(f"{what} after {after}: {_difference(seen[what], wanted)}")
        if secret and not ACTS[case.act].new_secret and secret != self.world.secret(project):
            raise AssertionError(f"the secret was made twice (after {after})")

    def _clear(self, error: DeployError) -> None:
        host = self.world.running.url
        if (
            error.code in _UNCLEAR
            or not error.hint
            or (host not in error.message and "/" not in error.message)
        ):
            raise AssertionError(f"unclear error {error.code}: {error.message} ({error.hint})")


def _difference(found: Any, wanted: Any) -> str:
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = [k for k in wanted if found.get(k) != wanted[k]]
        return "; ".join(f"{k}: {_difference(found.get(k), wanted[k])}" for k in keys)
    if isinstance(found, list) and isinstance(wanted, list):
        more = [x for x in found if found.count(x) > wanted.count(x)]
        less = [x for x in wanted if wanted.count(x) > found.count(x)]
        return f"too much: {json.dumps(more)}, missing: {json.dumps(less)}"
    return f"{json.dumps(found)}, expected {json.dumps(wanted)}"


_bench: Bench | None = None


def _begin(folder: str) -> None:
    """In a worker."""
    global _bench
    place = Path(folder) / str(os.getpid())
    place.mkdir()
    os.environ["HOME"] = str(place)
    _bench = Bench(World.up(place))


def _case(case: Case, reference: Reference) -> Row:
    assert _bench
    return _bench.row(case, reference)


def _references(acts: Sequence[str]) -> dict[str, Reference]:
    assert _bench
    try:
        return {act: _bench.reference(act) for act in acts}
    except DeployError as e:  # which cannot be sent to the other process
        raise AssertionError(f"without faults: {e.code}: {e.message}") from None


def _end(_: int) -> None:
    global _bench
    if _bench:
        _bench.world.down()
        _bench = None
    time.sleep(0.3)  # so that each worker gets one


def run(
    folder: Path,
    acts: Sequence[str],
    wanted: Callable[[list[Case]], list[Case]],
    *,
    workers: int = 2,
    seconds: float = float("inf"),
    at_least: int = 0,
    shown: Callable[[Row], None] = lambda _: None,
) -> Iterator[Row]:
    """Runs the cases that `wanted` chooses, until they or the seconds are over; so many in any case."""
    context = multiprocessing.get_context("spawn")
    ends = time.monotonic() + seconds
    with concurrent.futures.ProcessPoolExecutor(workers, context, _begin, (str(folder),)) as pool:
        try:
            references = pool.submit(_references, acts).result()
            cases = wanted([c for act, r in references.items() for c in every(act, r.met, r.sent)])
            waiting, todo, begun = set(), iter(cases), 0
            while True:
                while (begun < at_least or time.monotonic() < ends) and len(waiting) < workers:
                    if (case := next(todo, None)) is None:
                        break
                    begun += 1
                    waiting.add(pool.submit(_case, case, references[case.act]))
                if not waiting:
                    break
                done, waiting = concurrent.futures.wait(
                    waiting, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for job in done:
                    shown(job.result())
                    yield job.result()
        finally:
            list(pool.map(_end, range(2 * workers)))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--whole", action="store_true", help="every case")
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--seed", default="")
    parser.add_argument("--acts", default="deploy")
    parser.add_argument("--kinds", default="")
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--lasting", choices=("yes", "no"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="only list the calls")
    options = parser.parse_args()
    kinds = options.kinds.split(",") if options.kinds else None

    def wanted(cases: list[Case]) -> list[Case]:
        if options.list:
            for number, call in enumerate(dict.fromkeys(c.call for c in cases if c.call), 1):
                print(f"{number:>3} {call}")
            return []
        lasting = {"yes": True, "no": False}.get(options.lasting or "")
        chosen = [
            c
            for c in cases
            if options.only in str(c)
            and (not kinds or c.kind in kinds)
            and (lasting is None or c.lasts is lasting)
        ]
        print(f"{len(chosen)} of {len(cases)} cases", flush=True)
        return chosen if options.whole else part(chosen, options.seed)

    def shown(row: Row) -> None:
        print(f"{row.seconds:6.1f} s  {row.end:<20} {row.case}  {row.why[:600]}", flush=True)

    seconds = float("inf") if options.whole else options.seconds
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        rows = list(
            run(
                Path(folder),
                options.acts.split(","),
                wanted,
                workers=options.workers,
                seconds=seconds,
                shown=shown,
            )
        )
    print("\n".join(table(rows)))
    return 1 if any(row.end == "BROKEN" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
