"""The laptop on call: an empty folder, `--app NAME -p PROFILE`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests import commands
from tests.workspace.fake_host import Answer, FakeHost


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return commands.run(*words, "--app", "gateway", "-p", "oncall", folder=folder)


def test_health_and_token(host: FakeHost, folder: Path, isolated: Path) -> None:
    (isolated / ".databrickscfg").write_text(
        f"[oncall]\nhost = {host.url}\nclient_id = id-1\nclient_secret = very-secret\n"
    )
    app = {"name": "gateway", "url": host.url, "compute_status": {"state": "ACTIVE"}}
    host.on("GET", "/api/2.0/apps/gateway", Answer(body=app))
    host.on("GET", "/metamcp/health", Answer(body={}))
    host.on("GET", "/metamcp", Answer(500, {"error": "no database"}))
    health = run(folder, "health", "-o", "json")
    assert (health.returncode, json.loads(health.stdout)["status"]) == (1, "database_down")
    host.on("GET", "/metamcp", Answer(body={}))
    assert run(folder, "health").returncode == 0
    assert run(folder, "token").stdout == "token-1\n"
    assert "very-secret" not in health.stdout + health.stderr
    assert not list(folder.iterdir())
