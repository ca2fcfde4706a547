"""The reader of the launcher's status: each thing that may answer where an app should be."""

from __future__ import annotations

from typing import Any

import pytest

from metamcp_deploy.deployments import launcher_status
from metamcp_deploy.deployments.launcher_document import Document
from metamcp_deploy.deployments.launcher_status import Outcome
from tests.workspace.fake_host import Answer, Connect, FakeHost

LOGIN = {"Location": "https://dev.example.com/oidc/v1/authorize?client_id=app&state=x"}
OLD = {"status": "failed", "step": "migrate", "code": "schema_unknown", "message": "It failed."}
PAGE = Answer(200, b"<!doctype html>", {"Content-Type": "text/html"})


def refusal(code: str) -> dict[str, str]:
    return {"status": "refused", "step": "access", "code": code, "message": f"Because {code}."}


@pytest.mark.parametrize(
    ("answer", "outcome", "detail"),
    [
        (Answer(401, refusal("token_refused")), Outcome.NOT_AUTHENTICATED, "Because token_refused."),
        (Answer(302, b"", LOGIN), Outcome.NOT_AUTHENTICATED, "https://dev.example.com/oidc/v1/authorize"),
        (Answer(403, refusal("not_a_manager")), Outcome.NOT_PERMITTED, "Because not_a_manager."),
        (Answer(503, refusal("token_unchecked")), Outcome.UNCHECKED, "Because token_unchecked."),
        (Answer(429, refusal("too_many_checks")), Outcome.UNCHECKED, "Because too_many_checks."),
        (Answer(503, OLD), Outcome.OLDER, "HTTP 503"),
        (Answer(404, b"not found"), Outcome.OLDER, "HTTP 404"),
        (Answer(307, b"", {"Location": "/en/.metamcp-deploy/status"}), Outcome.OLDER, "HTTP 307"),
        (PAGE, Outcome.OLDER, "HTTP 200"),
        (Answer(200, {"status": "ok"}), Outcome.OLDER, "HTTP 200"),
        (Answer(200, ["up"]), Outcome.OLDER, "HTTP 200"),
        (Answer(502, b"bad gateway"), Outcome.SILENT, "HTTP 502"),
        (Answer(hang_up=True), Outcome.SILENT, "ConnectionError"),
        (Answer(late=1), Outcome.SILENT, "ReadTimeout"),
    ],
)
def test_what_may_answer(
    host: FakeHost, connect: Connect, answer: Answer, outcome: Outcome, detail: str
) -> None:
    host.on("GET", launcher_status.PATH, answer)
    reading = launcher_status.read(connect(), f"{host.url}/", seconds=0.3)
    assert (reading.outcome, reading.document) == (outcome, None)
    assert detail in reading.detail
    assert reading.seconds < 5


def test_an_answer(host: FakeHost, connect: Connect) -> None:
    sent: dict[str, Any] = {
        "format": 1,
        "status": "up",
        "step": None,
        "uptime_seconds": 12,
        "services": {"backend": {"up": True, "restarts": 2, "deaths": [{"exit_code": 3, "lines": ["a"]}]}},
        "credential": {"kind": "autoscaling", "age_seconds": 60.5, "last_error": {"code": "x"}},
        "token": "no object",
        "attempts": True,
        "processes": {"by_server": [{"command": "npx", "servers": 3, "newer": 1}, "no object"]},
        "log": None,
        "newer": {"field": 1},
    }
    host.on("GET", launcher_status.PATH, Answer(200, sent))
    reading = launcher_status.read(connect(), host.url)
    assert reading.outcome is Outcome.ANSWERED
    found = reading.document
    assert found is not None
    assert (found.status, found.step, found.uptime_seconds) == ("up", None, 12.0)
    assert found.services.backend.deaths[0].exit_code == 3
    assert found.services.frontend.up is False
    assert found.credential.last_error is not None
    assert found.credential.last_error.code == "x"
    assert (found.token.age_seconds, found.attempts, found.log) == (None, 0, ())
    assert [one.command for one in found.processes.by_server] == ["npx"]
    assert found.raw["newer"] == {"field": 1}
    (asked,) = host.asked("GET", launcher_status.PATH)
    headers = {name.lower(): value for name, value in asked.headers.items()}
    assert headers["authorization"] == "Bearer token-1"
    assert headers["x-metamcp-deploy-token"] == "token-1"


@pytest.mark.parametrize("given", [{}, {"format": 1}, {"format": "1", "status": "up"}, {"status": "up"}])
def test_other_documents_are_none(given: dict[str, Any]) -> None:
    assert Document.of(given) is None
