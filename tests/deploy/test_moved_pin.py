"""The same release of the upstream at another commit than in the deployment before, whichever machine made that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import git
import pytest

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.deployments import moved_pin
from metamcp_deploy.deployments.records import Record
from metamcp_deploy.stages import deploy, full_plan
from metamcp_deploy.target import session
from tests.deploy.tiny_app import with_settings

URL, A, B = "https://example.com/metamcp.git", "a" * 40, "b" * 40


def pin(ref: str = "v2.4.22", commit: str = A, url: str = URL) -> dict[str, Any]:
    return {"upstream": {"url": url, "ref": ref, "commit": commit}}


@pytest.mark.parametrize(
    ("before", "now", "warned"),
    [
        (pin(), pin(commit=B), True),
        (pin(), pin(), False),
        (pin(), pin("v2.4.23", B), False),
        (pin("main"), pin("main", B), False),  # branches move
        (pin(), pin(commit=B, url="https://example.com/fork.git"), False),
        ({}, pin(), False),
        ({"upstream": None}, pin(), False),
        (None, pin(), False),
    ],
)
def test_who_is_warned(before: dict[str, Any] | None, now: dict[str, Any], warned: bool) -> None:
    said: list[events.Event] = []
    with events.listening(said.append):
        moved_pin.report(None if before is None else Record("/1", {"by": "ada@example.com", **before}), now)
    texts = [e.text for e in said if isinstance(e, events.Warned)]
    assert len(texts) == warned
    assert not warned or all(word in texts[0] for word in (A, B, "v2.4.22", "ada@example.com"))


def test_a_plan_says_it_where_nothing_is_built(
    project: Project, deployed: Callable[..., pipeline.Facts], tmp_path: Path, seen: list[events.Event]
) -> None:
    """As on another machine than the one that deployed."""
    repository = git.Repo.init(tmp_path / "upstream")
    now = repository.index.commit("x", author=git.Actor("a", "a@b.c"), committer=git.Actor("a", "a@b.c"))
    repository.create_tag("v2.4.22")
    url = str(tmp_path / "upstream")
    first, files = deployed(project), session.site(project).workspace.files
    record = json.loads(files.read(first["record"]) or b"")
    for file in project.state.glob("*"):
        file.unlink()
    for was, ref, warned in ((A, "v2.4.22", True), (now.hexsha, "v2.4.22", False), (A, "v2.4.21", False)):
        seen.clear()
        files.write(first["record"], json.dumps(record | pin(ref, was, url)).encode())
        full_plan.look(with_settings(project, upstream={"url": url, "ref": "v2.4.22"}), deploy.PIPELINE)
        texts = [e.text for e in seen if isinstance(e, events.Warned) and "moved" in e.text]
        assert len(texts) == warned
        assert all(A in text and now.hexsha in text for text in texts)
