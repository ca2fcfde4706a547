"""The order of checks, their deadlines, and what follows from what; the checks here are made up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from metamcp_deploy import doctor
from metamcp_deploy.config.project import Project
from metamcp_deploy.doctor import checks, running
from metamcp_deploy.doctor.check import Check
from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.report import Report
from metamcp_deploy.doctor.subject import Subject, once
from metamcp_deploy.errors import Code, DeployError


def nothing() -> Project:
    raise DeployError(Code.CONFIG_INVALID, "There is no file.", hint="metamcp-deploy init")


def well(subject: Subject) -> Iterator[Finding]:
    yield from ()


def finds(*ids: str, level: Level = Level.ERROR, explained_by: frozenset[str] = frozenset()) -> Finding:
    (id_,) = ids
    return Finding(id_, level, f"{id_} is wrong", explained_by=explained_by)


def check(name: str, *found: Finding, needs: tuple[str, ...] = (), seconds: float = 5.0) -> Check:
    return Check(name, f"the {name}", lambda subject: iter(found), needs, seconds)


def looked(monkeypatch: pytest.MonkeyPatch, *made: Check) -> Report:
    monkeypatch.setattr(checks, "CHECKS", made)
    return doctor.look(nothing)


def test_what_a_check_needs_comes_before_it_and_a_failure_there_skips_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = looked(
        monkeypatch,
        check("login", finds("no-login")),
        check("app", finds("never"), needs=("login",)),
        check("pages", finds("nor-this"), needs=("app",)),
        check("settings"),
    )
    assert [finding.id for finding in report.findings] == ["no-login"]
    assert [outcome.skipped for outcome in report.outcomes] == ["", *["follows from no-login"] * 2, ""]


def test_a_note_or_a_warning_skips_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    report = looked(
        monkeypatch,
        check("login", finds("old", level=Level.NOTE), finds("odd", level=Level.WARNING)),
        check("app", finds("gone"), needs=("login",)),
    )
    assert [finding.id for finding in report.findings] == ["gone", "odd", "old"]  # the worst first


def test_what_another_finding_explains_is_left_out_and_independent_ones_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    explained = finds("no-answer", explained_by=frozenset({"database"}))
    report = looked(
        monkeypatch,
        check("database", finds("disabled")),
        check("secrets", finds("secret-gone")),
        check("pages", explained, finds("front-end-silent")),
    )
    assert [finding.id for finding in report.findings] == ["disabled", "secret-gone", "front-end-silent"]
    alone = looked(monkeypatch, check("database"), check("pages", explained))
    assert [finding.id for finding in alone.findings] == ["no-answer"]


def test_a_failure_that_two_checks_see_is_named_once_by_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    report = looked(
        monkeypatch, check("secrets", finds("secret-gone")), check("launcher", finds("secret-gone"))
    )
    assert [finding.id for finding in report.findings] == ["secret-gone"]
    assert report.outcomes[1].skipped == "named above"


def test_checks_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3, timeout=5)

    def meets(subject: Subject) -> Iterator[Finding]:
        together.wait()
        yield from ()

    report = looked(monkeypatch, *(Check(name, name, meets) for name in "abc"))
    assert not report.findings


def test_a_check_that_hangs_is_left_at_its_deadline_and_what_it_found_before_counts() -> None:
    ended = threading.Event()

    def hangs(subject: Subject) -> Iterator[Finding]:
        yield finds("seen-before")
        ended.wait(30)

    began = time.monotonic()
    outcomes = running.run(
        [Check("slow", "the slow one", hangs, seconds=0.2), check("quick")], Subject(nothing)
    )
    ended.set()
    assert time.monotonic() - began < 5
    assert [finding.id for finding in outcomes[0].findings] == ["seen-before", "check-silent"]
    assert "deadline: 0.2 s" in outcomes[0].findings[1].evidence[0]
    assert not outcomes[1].findings


def test_the_whole_run_ends_with_what_it_has() -> None:
    ended = threading.Event()

    def hangs(subject: Subject) -> Iterator[Finding]:
        ended.wait(30)
        yield from ()

    slow = Check("slow", "the slow one", hangs, seconds=20)
    outcomes = running.run([slow, check("after", needs=("slow",))], Subject(nothing), whole=0.2)
    ended.set()
    assert [finding.id for finding in outcomes[0].findings] == ["check-silent"]
    assert "were over" in outcomes[1].skipped


def test_a_check_that_breaks_is_no_traceback_and_others_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(subject: Subject) -> Iterator[Finding]:
        raise KeyError("surprise")

    report = looked(monkeypatch, Check("odd", "the odd one", breaks), check("app", finds("gone")))
    assert [(finding.id, finding.level) for finding in report.findings] == [
        ("gone", Level.ERROR),
        ("check-failed", Level.WARNING),
    ]
    assert report.findings[1].evidence == ("KeyError: 'surprise'",)


def test_an_expected_error_is_a_finding_with_its_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def reads(subject: Subject) -> Iterator[Finding]:
        subject.project()
        yield from ()

    (finding,) = looked(monkeypatch, Check("settings", "the settings", reads)).findings
    assert (finding.id, finding.summary) == ("config-invalid", "There is no file.")
    assert [step.do for step in finding.fix] == ["metamcp-deploy init"]


def test_only_and_skip_and_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    made = (
        Check("settings", "the settings", well, remote=False),
        check("login", needs=("settings",)),
        check("app", needs=("login",)),
        check("log", needs=("app",)),
    )
    monkeypatch.setattr(checks, "CHECKS", made)

    def done(report: Report) -> list[str]:
        return [outcome.check.id for outcome in report.outcomes]

    assert done(doctor.look(nothing, only=["app"])) == ["settings", "login", "app"]
    assert done(doctor.look(nothing, skip=["log"])) == ["settings", "login", "app"]
    assert done(doctor.look(nothing, offline=True)) == ["settings"]
    with pytest.raises(DeployError, match="lgo is no check") as caught:
        doctor.look(nothing, skip=["lgo"])
    assert "log" in caught.value.hint


def test_a_fact_is_asked_for_once_by_all_threads() -> None:
    asked: list[str] = []

    class Facts(Subject):
        @once
        def slow(self) -> str:
            asked.append("slow")
            time.sleep(0.05)
            return "known"

    subject = Facts(nothing)
    threads = [threading.Thread(target=lambda: Facts.slow(subject)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == ["slow"]
    with pytest.raises(DeployError):
        subject.project()
    with pytest.raises(DeployError):  # a failure is remembered as well
        subject.project()


def test_the_real_checks_name_their_needs_before_themselves() -> None:
    seen: set[str] = set()
    for each in checks.CHECKS:
        assert set(each.needs) <= seen, each.id
        seen.add(each.id)
