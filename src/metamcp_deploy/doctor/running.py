"""Runs checks side by side: each as soon as what it needs is known to be well, each with a deadline of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from metamcp_deploy import knowledge
from metamcp_deploy.doctor.check import Check
from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.subject import Subject
from metamcp_deploy.errors import Code, DeployError

WHOLE_SECONDS = 15.0  # of all checks together: then it ends with what it has
_TICK = 0.02


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    Attributes:
        check: which.
        findings: what is wrong; empty where all is well, or where it was not done.
        skipped: why it was not done; empty where it was.
        seconds: how long it took.
    """

    check: Check
    findings: tuple[Finding, ...] = ()
    skipped: str = ""
    seconds: float = 0.0

    @property
    def broken(self) -> bool:
        """Whether it found an error."""
        return any(finding.level is Level.ERROR for finding in self.findings)


@dataclass
class _Running:
    """A check under way, in a thread that nobody waits for beyond its deadline."""

    check: Check
    began: float
    findings: list[Finding] = field(default_factory=list)
    failure: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def start(self, subject: Subject) -> _Running:
        threading.Thread(
            target=self._work, args=(subject,), name=f"doctor-{self.check.id}", daemon=True
        ).start()
        return self

    def _work(self, subject: Subject) -> None:
        try:
            # What was found before a failure counts, too.
            for finding in self.check.look(subject):
                self.findings.append(finding)
        except BaseException as e:
            self.failure = e
        finally:
            self.done.set()

    def outcome(self, subject: Subject, seconds: float) -> Outcome:
        found = list(self.findings)
        match self.failure:
            case DeployError():
                found.append(Finding.of_error(self.failure, subject.place))
            case None if not self.done.is_set():
                found.append(_silent(self.check, seconds, subject))
            case None:
                pass
            case _:
                found.append(_failed(self.check, self.failure, subject))
        return Outcome(self.check, tuple(found), seconds=round(seconds, 3))


def run(
    checks: Sequence[Check],
    subject: Subject,
    *,
    whole: float = WHOLE_SECONDS,
    stretch: float = 1.0,
    now: Callable[[], float] = time.monotonic,
) -> list[Outcome]:
    """All checks, in the order they were given; ends after `whole` seconds at the latest.

    Args:
        checks: in the order of dependence; a check that is needed and not among them counts as well.
        subject: what they look at.
        whole: seconds.
        stretch: multiplies all deadlines.
        now: the clock.
    """
    began = now()
    outcomes: dict[str, Outcome] = {}
    waiting, running = list(checks), dict[str, _Running]()
    while waiting or running:
        at = now()
        over = at - began >= whole * stretch
        for check in list(waiting):
            if over:
                waiting.remove(check)
                outcomes[check.id] = Outcome(check, skipped=f"the {whole:g} s of the whole run were over")
            elif (why := _hindered(check, outcomes)) is not None:
                waiting.remove(check)
                outcomes[check.id] = Outcome(check, skipped=why)
            elif not any(need in running or _is_waiting(need, waiting) for need in check.needs):
                waiting.remove(check)
                running[check.id] = _Running(check, at).start(subject)
        for one in list(running.values()):
            if one.done.is_set() or over or at - one.began >= one.check.seconds * stretch:
                del running[one.check.id]
                outcomes[one.check.id] = one.outcome(subject, at - one.began)
        if running:
            next(iter(running.values())).done.wait(_TICK)
    return [outcomes[check.id] for check in checks]


def _is_waiting(need: str, waiting: Sequence[Check]) -> bool:
    return any(check.id == need for check in waiting)


def _hindered(check: Check, outcomes: Mapping[str, Outcome]) -> str | None:
    for need in check.needs:
        before = outcomes.get(need)
        if before is None:
            continue
        if before.broken:
            return f"follows from {next(f.id for f in before.findings if f.level is Level.ERROR)}"
        if before.skipped:
            return before.skipped
    return None


def _silent(check: Check, seconds: float, subject: Subject) -> Finding:
    return Finding.known(
        knowledge.by_id("doctor", "check-silent"),
        subject.place,
        summary=f"The check of {check.title} did not end within {seconds:.0f} s",
        evidence=(f"its deadline: {check.seconds:g} s",),
    )


def _failed(check: Check, failure: BaseException, subject: Subject) -> Finding:
    if isinstance(failure, KeyboardInterrupt):
        raise DeployError(Code.INTERRUPTED, "Interrupted.", hint="Run the same command again.")
    return Finding.known(
        knowledge.by_id("doctor", "check-failed"),
        subject.place,
        summary=f"The check of {check.title} ended in an error of this tool",
        evidence=(f"{type(failure).__name__}: {failure}"[:500],),
    )
