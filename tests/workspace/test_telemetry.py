"""Older lines from the app's telemetry table: recorded answers of the statement execution API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metamcp_deploy import events
from metamcp_deploy.config import load
from metamcp_deploy.config.project import Project
from metamcp_deploy.deployments.log import telemetry
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.events import LogLine
from metamcp_deploy.workspace import Clock
from tests.workspace.fake_host import Answer, Connect, FakeHost

APP, STATEMENTS = "/api/2.0/apps/metamcp", "/api/2.0/sql/statements"
TABLES = {f"{kind}_table": f"ops.apps.otel_{kind}" for kind in ("logs", "metrics", "traces")}
EXPORTS = {"name": "metamcp", "telemetry_export_destinations": [{"unity_catalog": TABLES}]}
SECOND = 1_000_000


def answered(state: str, rows: list[list[str | None]] | None = None, following: int | None = None) -> Answer:
    """As the API's reference shows one: a format of JSON_ARRAY, disposition INLINE."""
    result = {"chunk_index": 0, "row_offset": 0, "row_count": len(rows or []), "data_array": rows or []}
    if following is not None:
        result["next_chunk_index"] = following
        result["next_chunk_internal_link"] = f"{STATEMENTS}/s-1/result/chunks/{following}"
    done = {"manifest": {"format": "JSON_ARRAY", "schema": {"column_count": 2}}, "result": result}
    return Answer(
        body={"statement_id": "s-1", "status": {"state": state}, **(done if rows is not None else {})}
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "metamcp.yaml").write_text(
        "version: 1\napp: {name: metamcp, telemetry_warehouse: 0f8fad5bd9cb469f}\ntargets: {dev: {}}\n"
    )
    return load(tmp_path, target="dev")


def read(project: Project, connect: Connect) -> list[LogLine]:
    return list(telemetry.lines(project, connect(Clock(sleep=lambda _: None)), 10.5, 20.0))


def test_all_rows_of_all_chunks(project: Project, connect: Connect, host: FakeHost) -> None:
    host.on("GET", APP, Answer(body=EXPORTS))
    host.on("POST", STATEMENTS, answered("PENDING"))
    first: list[list[str | None]] = [[str(11 * SECOND), "[backend] one\n"], [str(12 * SECOND + 5), None]]
    host.on("GET", f"{STATEMENTS}/s-1", answered("RUNNING"), answered("SUCCEEDED", first, 1))
    last = {"chunk_index": 1, "row_offset": 2, "row_count": 1, "data_array": [[str(13 * SECOND), "three"]]}
    host.on("GET", f"{STATEMENTS}/s-1/result/chunks/1", Answer(body=last))
    assert read(project, connect) == [
        LogLine("APP", "[backend] one", 11.0),
        LogLine("APP", "", 12.000005),
        LogLine("APP", "three", 13.0),
    ]
    asked = json.loads(next(r.body for r in host.requests if r.path == STATEMENTS))
    assert asked["warehouse_id"] == "0f8fad5bd9cb469f"
    assert "FROM `ops`.`apps`.`otel_logs`" in asked["statement"]
    assert {p["name"]: (p["value"], p["type"]) for p in asked["parameters"]} == {
        "app": ("metamcp", "STRING"),
        "since": ("10500000", "BIGINT"),
        "until": ("20000000", "BIGINT"),
    }


def test_without_rows(project: Project, connect: Connect, host: FakeHost, seen: list[events.Event]) -> None:
    host.on("GET", APP, Answer(body=EXPORTS))
    host.on("POST", STATEMENTS, answered("SUCCEEDED", []))
    assert read(project, connect) == []
    assert any("no line of the app metamcp" in e.text for e in seen if isinstance(e, events.Note))


def test_a_refusal(project: Project, connect: Connect, host: FakeHost) -> None:
    host.on("GET", APP, Answer(body=EXPORTS))
    error = {
        "error_code": "BAD_REQUEST",
        "message": "[INSUFFICIENT_PERMISSIONS] no SELECT on ops.apps.otel_logs",
    }
    failed = {"statement_id": "s-1", "status": {"state": "FAILED", "error": error}}
    host.on("POST", STATEMENTS, Answer(body=failed))
    with pytest.raises(DeployError) as caught:
        read(project, connect)
    assert caught.value.code is Code.REQUEST_REFUSED
    assert "no SELECT" in caught.value.message
    assert "SELECT" in caught.value.hint


def test_what_would_have_kept_them(
    project: Project, connect: Connect, host: FakeHost, seen: list[events.Event]
) -> None:
    host.on("GET", APP, Answer(body={"name": "metamcp"}))
    assert read(project, connect) == []
    said = " ".join(e.text for e in seen if isinstance(e, events.Note))
    assert "app.telemetry_export_destinations" in said
    assert "App telemetry configuration" in said
    assert not [r for r in host.requests if r.path == STATEMENTS]
