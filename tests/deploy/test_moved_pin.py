"""The same release of the upstream at another commit than in the deployment before, whichever machine made that."""

from __future__ import annotations

from typing import Any

import pytest

from metamcp_deploy import events
from metamcp_deploy.deployments import moved_pin
from metamcp_deploy.deployments.records import Record

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
