"""Commands that read start no embedded workspace: an empty folder stays empty, a stopped workspace stays stopped."""

import json

import pytest

from metamcp_deploy.cli import hints
from metamcp_deploy.local import store
from tests import commands

READING = (
    "status",
    "history",
    "rollback",
    "rollback --plan",
    "health",
    "logs",
    "token",
    "start",
    "stop",
    "release list",
    "release prune --plan",
    "secrets list",
    "secrets set KEY --plan",
    "secrets rotate --plan",
    "destroy --plan",
)


@pytest.mark.parametrize("words", READING)
def test_in_an_empty_folder_they_say_that_nothing_is_there(words, tmp_path):
    done = commands.run(*words.split(), "-o", "json", folder=tmp_path)
    error = json.loads(done.stdout or done.stderr)["error"]
    named = words.partition(" --")[0].removesuffix(" KEY") in hints.TAKE_APP
    more = "; an app in a workspace is named by --app NAME -p PROFILE" if named else ""
    said = (done.returncode, error["code"], error["hint"])
    assert said == (1, "not_deployed", f"metamcp-deploy deploy -t local{more}")
    assert "Nothing is there" in error["message"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", READING)
def test_a_stopped_workspace_is_not_started(words, tmp_path):
    stopped = stopped_in(tmp_path)
    done = commands.run(*words.split(), "-o", "json", folder=tmp_path)
    error = json.loads(done.stdout or done.stderr)["error"]
    assert (done.returncode, error["code"], error["hint"]) == (1, "local_down", "metamcp-deploy local up")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [stopped]


def test_plan_in_an_empty_folder_shows_everything_as_new(tmp_path):
    done = commands.run("plan", "-o", "json", folder=tmp_path)
    document = json.loads(done.stdout)
    assert {change["action"] for change in document["changes"]} == {"create", "upload", "deploy"}
    assert {"app", "Lakebase project", "secret scope"} <= {change["kind"] for change in document["changes"]}
    assert not list(tmp_path.iterdir())


def test_an_address_that_nobody_has_is_not_shown(tmp_path):
    (tmp_path / "metamcp.yaml").write_text("version: 1\napp: {env: {A: {secret: KEY}}}\n")
    done = commands.run("plan", folder=tmp_path)
    assert "the secret KEY (for app.env.A) in scope metamcp of the embedded workspace that is" in done.stderr
    assert ".invalid" not in done.stdout + done.stderr


def test_plan_of_a_stopped_workspace_says_what_starts_it(tmp_path):
    stopped_in(tmp_path)
    done = commands.run("plan", "--detailed-exitcode", folder=tmp_path)
    assert done.returncode == 4
    assert "does not run" in done.stdout
    assert "metamcp-deploy local up" in done.stdout


def test_preflight_looks_at_a_workspace_that_deploy_would_make(tmp_path):
    done = commands.run("preflight", "-o", "json", folder=tmp_path)
    report = json.loads(done.stdout)
    assert (done.returncode, report["missing"], report["me"]) == (0, 0, "developer@example.com")
    assert report["host"] == ""
    assert "metamcp-deploy deploy -t local" in report["checks"][0]["detail"]
    assert ".invalid" not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())
    stopped_in(tmp_path)
    done = commands.run("preflight", "-o", "json", folder=tmp_path)
    row = json.loads(done.stdout)["checks"][0]
    assert (done.returncode, row["state"]) == (1, "missing")
    assert "metamcp-deploy local up" in row["ask"]


def stopped_in(folder):
    state = folder / "build" / "local" / store.NAME
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"format": store.FORMAT}))
    return state
