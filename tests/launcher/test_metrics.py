"""What the launcher counts, and how it says so to Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launcher.launcher_app import App, FakeWorkspace, behind_proxy
from tests.launcher.test_limits import said

Launch = Callable[..., App]
METRICS = "/.metamcp-deploy/metrics"
OPERATOR = {"X-Forwarded-Email": "oncall@example.com"}
# Source: prometheus.io, Exposition formats: text-based format.
LABEL = r'[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf"([a-zA-Z_:][\w:]*)(?:\{{({LABEL}(?:,{LABEL})*)\}})? (NaN|[+-]?(?:Inf|\d[\d.e+-]*))")
SUFFIX = re.compile(r"_(bucket|sum|count)$")


def parsed(text: str) -> dict[str, float]:
    """Name with labels → value; each family has its head once, before its samples, which stand together."""
    kinds: dict[str, str] = {}
    found: dict[str, float] = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        family = match[1] if match[1] in kinds else SUFFIX.sub("", match[1])
        assert family == list(kinds)[-1], line
        assert f"{match[1]}{{{match[2] or ''}}}" not in found
        found[f"{match[1]}{{{match[2] or ''}}}"] = float(match[3])
    return found


def test_what_a_scraper_gets(launch: Launch, workspace: FakeWorkspace) -> None:
    app = behind_proxy(launch)().up()
    for _ in range(3):
        app.get("/metamcp/x/mcp")
    app.get("/api/ask?want=database-password")
    app.get("/api/spawn")
    app.get("/api/early")
    app.get("/service/x")
    answer = app.get(METRICS, headers=OPERATOR)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = parsed(answer.text)
    assert found["metamcp_up{}"] == 1
    assert found['metamcp_requests_total{route="mcp",status="2xx"}'] == 3
    assert found['metamcp_requests_total{route="pages",status="4xx"}'] == 2
    assert found['metamcp_request_duration_seconds_count{route="mcp"}'] == 3
    assert found['metamcp_request_duration_seconds_bucket{route="mcp",le="+Inf"}'] == 3
    assert 0 < found['metamcp_request_duration_seconds_sum{route="mcp"}'] < 60
    assert found['metamcp_service_up{service="backend"}'] == 1
    assert found['metamcp_service_restarts_total{service="frontend"}'] == 0
    assert found['metamcp_service_memory_bytes{service="backend"}'] > 1e6
    assert found['metamcp_sessions_open{route="",endpoint=""}'] == 0
    assert 3500 < found["metamcp_credential_expires_in_seconds{}"] <= 3600
    assert found["metamcp_token_life_seconds{}"] == 3600
    assert found["metamcp_memory_limit_bytes{}"] > found["metamcp_memory_used_bytes{}"] > 1e7
    fresh = app.until(lambda: (m := parsed(app.get(METRICS, headers=OPERATOR).text)).get(
        'metamcp_children{command="sh",package=""}', 0) >= 6 and m)  # fmt: skip
    assert fresh['metamcp_requests_total{route="mcp",status="2xx"}'] == 3, "it does not count itself"
    assert [secret for secret in workspace.issued if secret in answer.text] == []


COUNTING = """
  let now = 0;
  const counters = new Counters(() => now);
  const ask = (url, status, seconds, { method = "GET", stream = false, sent = true } = {}) => {
    const began = counters.began();
    now += seconds * 1000;
    counters.ended({ url, method }, { statusCode: status, headersSent: sent }, began, stream);
  };
"""


def test_what_is_counted(node: Path) -> None:
    code = f"""{COUNTING}
      ask("/metamcp/a/mcp", 200, 0.004);
      ask("/metamcp/a/mcp", 200, 7, {{ method: "POST", stream: true }});
      ask("/metamcp/a/mcp", 200, 300, {{ stream: true }});
      ask("/metamcp/b/mcp?x=/y", 503, 100);
      ask("/en", 200, 0.1, {{ sent: false }});
      const [, mcp] = counters.classes[0];
      console.log(JSON.stringify([counters.totals, [...mcp.times], mcp.seconds]));
    """
    totals, times, seconds = said(node, code, Counters="status/counters.mjs")
    assert totals == {"mcp": {"2xx": 3, "5xx": 1}, "pages": {"closed": 1}}
    assert seconds == pytest.approx(107.004), "how long somebody listens is no latency"
    assert times == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1]


def test_the_last_hour(node: Path) -> None:
    code = f"""{COUNTING}
      ask("/en", 200, 0);
      now = 60_000;
      for (let i = 0; i < 10; i++) ask("/en", 200, 0.02);
      ask("/en", 500, 2);
      const first = counters.lastHour;
      now = 62 * 60_000;
      ask("/en", 200, 0);
      console.log(JSON.stringify([first, counters.lastHour]));
    """
    first, later = said(node, code, Counters="status/counters.mjs")
    assert [len(numbers) for numbers in first.values()] == [60] * 4
    assert (first["requests"][-2:], first["errors"][-2:]) == ([1, 11], [0, 1])
    assert first["median_seconds"][-3:] == [None, 0.005, 0.025]
    assert first["slow_seconds"][-1] == 2.5
    assert sum(later["requests"]) == 1, "what is older than an hour has gone"


CLASSES = {
    "/metamcp/tools/mcp": "mcp",
    "/metamcp/tools/mcp?api_key=x": "mcp",
    "/metamcp/tools/sse": "sse",
    "/metamcp/tools/message?sessionId=1": "sse",
    "/metamcp/tools/api/echo": "openapi",
    "/metamcp/tools/oauth/token": "oauth",
    "/metamcp/health": "health",
    "/metamcp": "health",
    "/mcp-proxy/server/stdio?command=x": "inspector",
    "/trpc/frontend/x": "trpc",
    "/api/auth/get-session": "auth",
    "/.well-known/oauth-protected-resource": "oauth",
    "/_next/static/x.js": "static",
    "/en/mcp-servers": "pages",
    "/?a=/metamcp/x/mcp": "pages",
    "/metamcpx/a/mcp": "pages",
    "http://host/metamcp/x/mcp": "pages",
    "/constructor": "pages",
    "*": "pages",
}


def test_the_class_of_a_route(node: Path) -> None:
    code = f"console.log(JSON.stringify({json.dumps(list(CLASSES))}.map(routeClass)));"
    assert said(node, code, routeClass="status/route-class.mjs") == list(CLASSES.values())


def test_labels_are_escaped(node: Path) -> None:
    facts = {
        "services": {},
        "sessions": {"open": 1, "by_endpoint": [{"route": None, "endpoint": 'a"\\\nb', "open": 1}]},
        "processes": {"by_server": []},
        "credential": {"age_seconds": None, "expires_in_seconds": None, "renewals": 0, "failures": 0},
        "token": {"age_seconds": None, "life_seconds": None},
        "memory": {"used_bytes": 1, "limit_bytes": 2, "scarce": True},
        "database_pool": {"total": 3, "idle": 1, "waiting": 7, "most": 10},
        "status": "failed",
        "started": "2026-01-01T00:00:00Z",
        "attempts": 1,
    }
    code = f"console.log(JSON.stringify(metrics({json.dumps(facts)}, [])));"
    found = parsed(said(node, code, metrics="status/metrics.mjs"))
    assert found['metamcp_sessions_open{route="",endpoint="a\\"\\\\\\nb"}'] == 1
    assert found["metamcp_launcher_start_time_seconds{}"] == 1767225600
    assert not [name for name in found if "credential_age" in name]
    connections = {
        state: found[f'metamcp_database_connections{{state="{state}"}}']
        for state in ("busy", "idle", "waiting")
    }
    assert connections == {"busy": 2, "idle": 1, "waiting": 7}
    assert found["metamcp_database_connections_most{}"] == 10
