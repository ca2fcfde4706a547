"""Every file of the knowledge base: recognised by its own samples, with a fix that can be pasted."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer.main

from metamcp_deploy.cli import app
from metamcp_deploy.knowledge import by_id, for_launcher, loading, page, recognise, runbook
from metamcp_deploy.knowledge.entry import Entry
from metamcp_deploy.knowledge.place import Place
from metamcp_deploy.local.faults.presets import PRESETS

KNOWN = [known for where in loading.folders() for known in loading.folder(where)]
EACH = pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.id)
PLACES = [Place(), Place("local"), Place("prod"), Place(app="metamcp", profile="PROD")]
VALUES = {
    *("project", "at", "until", "name", "server", "role"),
    *(
        "on_target",
        "on_app",
        "host",
        "url",
        "seconds",
        "command",
        "returncode",
        "log",
        "folder",
        "lockfile",
        "profile",
    ),
    *("server", "role"),
    *("reason", "feature", "app", "me", "thing", "detail", "what", "why"),
}
OURS = re.compile(r"\bmetamcp-deploy(?: [^`;]*)?")
ROOT = typer.main.get_command(app)
PAGE = Path(__file__).parents[2] / "docs" / "diagnoses.md"


@EACH
def test_its_samples_lead_to_it(known: Entry) -> None:
    for sample in known.samples:
        fitting = [other.id for other in loading.fitting(known.where, sample)]
        assert fitting[:1] == [known.id], f"{sample!r} fits {fitting}"


@EACH
def test_its_fix_can_be_pasted(known: Entry) -> None:
    for step in (step for place in PLACES for step in known.steps(place=place)):
        assert "{" not in f"{step.do}{step.run}{step.ask}"
        if step.run:
            assert step.run == " ".join(shlex.split(step.run)) or "'" in step.run
            check(step.run)
        for words in re.findall(r"`(metamcp-deploy [^`]+)`", step.do or ""):
            check(words)
    assert not [place for place in PLACES if "  " in known.hint(place=place)]
    assert "then then" not in known.hint().lower()


@EACH
def test_its_templates_name_known_values(known: Entry) -> None:
    templates = [known.message or "", *(f"{step.do}{step.run}{step.ask}" for step in known.fix)]
    assert set(re.findall(r"\{(\w+)\}", " ".join(templates))) <= VALUES


@EACH
def test_commands_without_a_folder_take_the_app(known: Entry) -> None:
    for step in known.fix:
        for option, flag in (("{on_app}", "--app"), ("{on_target}", "--target")):
            if step.run and option in step.run:
                assert flag in flags(command(step.run)), step.run
        if step.run and step.run.startswith("metamcp-deploy"):
            assert "{on_" in step.run, f"{step.run} names no deployment"


@EACH
def test_it_can_be_provoked_as_it_says(known: Entry) -> None:
    if known.provoke and known.provoke.fault:
        assert known.provoke.fault in PRESETS
    if known.provoke and known.provoke.act:
        for words in OURS.findall(known.provoke.act):
            check(words.split(",")[0])


def test_ids_are_unique() -> None:
    assert [name for name, count in Counter(known.id for known in KNOWN).items() if count > 1] == []


def test_every_folder_is_on_the_page() -> None:
    assert sorted(page.PLACES) == loading.folders()


def test_the_page_is_up_to_date() -> None:
    stale = "docs/diagnoses.md is stale: python -m metamcp_deploy.knowledge > docs/diagnoses.md"
    assert PAGE.read_text() == page.markdown(), stale


def test_the_runbook_is_up_to_date() -> None:
    stale = "docs/runbook.md is stale: python -m metamcp_deploy.knowledge runbook > docs/runbook.md"
    assert PAGE.with_name("runbook.md").read_text() == runbook.markdown(), stale


def test_the_launcher_gets_what_it_can_match() -> None:
    given = for_launcher()
    assert len(given) == len(loading.folder("launcher"))
    for known in loading.folder("launcher"):
        assert all(sign.model_fields_set <= {"code", "log"} for sign in known.shows), known.id


def test_who_reports_an_error_has_its_code() -> None:
    for where in ("git", "build", "workspace"):
        assert [known.id for known in loading.folder(where) if known.error is None] == []
    assert [known.id for known in loading.folder("preflight") if not (known.need and known.fix[0].ask)] == []


def test_an_api_error_code_counts_before_a_status() -> None:
    found = recognise("workspace", http=403, error_code="RESOURCE_EXHAUSTED")
    assert found is not None
    assert found.id == "rate-limited"


def test_nothing_fits_what_is_unknown() -> None:
    assert recognise("launcher", code="new", log="never seen") is None


def test_the_launchers_commands_name_the_app() -> None:
    fixes = " ".join(failure["fix"] for failure in for_launcher())
    assert "metamcp-deploy stop --app {app} -p PROFILE" in fixes
    assert "metamcp-deploy bundle-deploy -t TARGET" in fixes


def test_a_place_names_target_or_app() -> None:
    known = by_id("health", "not-listening")
    assert known.hint(place=Place("dev")).endswith(": metamcp-deploy logs -t dev")
    assert known.hint(place=Place(app="a", profile="P")).endswith(": metamcp-deploy logs --app a -p P")
    login = by_id("health", "not-authenticated").hint(place=Place("dev", host="https://x.example.com"))
    assert "--host https://x.example.com; then check" in login


def test_one_failure_by_its_id() -> None:
    known = by_id("workspace", "auth-failed")
    assert known.hint({"host": "https://x.example.com"}) == (
        "Log in again: databricks auth login --host https://x.example.com"
    )


def command(words: str) -> Any:
    """The command that a line of a fix runs."""
    reached: Any = ROOT
    for word in shlex.split(words)[1:]:
        if not hasattr(reached, "commands"):
            break
        assert word in reached.commands, f"`{words}`: there is no command {word}"
        reached = reached.commands[word]
    assert not hasattr(reached, "commands"), f"`{words}` names no command"
    return reached


def flags(reached: Any) -> set[str]:
    return {flag for parameter in reached.params for flag in (*parameter.opts, *parameter.secondary_opts)}


def check(words: str) -> None:
    """Fails when a command line of this tool names a command or a flag that does not exist."""
    if words.startswith("metamcp-deploy "):
        known = flags(command(words))
        for word in shlex.split(words):
            assert not word.startswith("-") or word.partition("=")[0] in known, f"`{words}`: no flag {word}"
