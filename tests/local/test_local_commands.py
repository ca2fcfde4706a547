"""`metamcp-deploy local ...` as people type it."""

import json

import psycopg
import pytest

from metamcp_deploy import local
from tests import commands
from tests.local.embedded_world import project_in


@pytest.fixture
def run(tmp_path):
    def command(*words):
        return commands.run("local", *words, "-C", tmp_path, folder=tmp_path)

    yield command
    local.down(project_in(tmp_path))


def test_a_whole_life(run, tmp_path):
    up = run("up", "--token-ttl", "600", "-o", "json")
    assert (up.returncode, json.loads(up.stdout)["options"]["token_ttl"]) == (0, 600)
    url = json.loads(up.stdout)["url"]
    assert run("up").stdout.strip() == url
    other = run("up", "--tls", "-o", "json")
    assert (other.returncode, json.loads(other.stdout)["error"]["code"]) == (1, "config_conflict")

    shown = run("status")
    assert url in shown.stdout
    plain = run("status", "-o", "json")
    secret = local.running(project_in(tmp_path)).client_secret.reveal()
    assert secret not in plain.stdout + plain.stderr + shown.stdout
    full = json.loads(run("status", "-o", "json", "--with-credentials").stdout)
    assert full["client_secret"] == secret
    with psycopg.connect(full["superuser_uris"]["postgres"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)

    assert "has ended" in run("down").stdout
    assert "not running" in run("down").stdout
    assert json.loads(run("status", "-o", "json").stdout)["running"] is False
    refused = run("reset")
    assert (refused.returncode, "--auto-approve" in refused.stderr) == (2, True)
    assert run("reset", "--auto-approve").returncode == 0
    assert not (tmp_path / "build" / "local").exists()


def test_a_broken_configuration_does_not_keep_it_running(run, tmp_path):
    run("up")
    (tmp_path / "metamcp.yaml").write_text("nonsense: [")
    assert "has ended" in run("down").stdout
