"""From nothing to serving, what is logged on the way, and each way it can fail."""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.launcher import launcher_programs as programs
from tests.launcher.launcher_app import (
    AUTH_SECRET,
    CLIENT_SECRET,
    EMBEDDED,
    LAUNCHER,
    OIDC_SECRET,
    App,
    FakeWorkspace,
)

Launch = Callable[..., App]


def test_serves_both_services_and_logs_what_the_runbook_greps_for(
    launch: Launch, workspace: FakeWorkspace
) -> None:
    app = launch(env={"PGAPPNAME": "tiny"}).up()
    assert app.get("/").json()["service"] == "frontend"
    assert app.get("/trpc/x?y=1").json()["url"] == "/trpc/frontend/x?y=1"
    assert app.get("/api/env").json()["now"]["PGAPPNAME"] == "tiny"
    log = app.log
    assert "=missing" not in log  # of a healthy start
    for line in [
        "[MetaMCP][Databricks] PG env status: PGHOST=set",
        "PGPASSWORD=comes-with-the-credential",
        "Databricks env keys: DATABRICKS_APP_NAME",
        f"Requesting workspace token from {workspace.url}/oidc/v1/token",
        f"Requesting DB credential from {workspace.url}/api/2.0/postgres/credentials for endpoint "
        "projects/p/branches/b/endpoints/e",
        "Obtained database credential token (length): 22",
        "Derived DATABASE_URL for host db.example.com:5432",
        "Applying database migrations",
        "Database migrations: 2 applied in 0.01 s: 0000_first, 0001_second",
        "[migrate] got a password",
        "[backend] backend says hello",
        "[backend] backend warns",
        "[frontend] frontend says hello",
        "MetaMCP is up",
    ]:
        assert line in log, line


def test_says_whether_it_is_ready_to_whoever_asks(launch: Launch, workspace: FakeWorkspace) -> None:
    workspace.answers["/oidc/v1/token"] = (503, {})
    app = launch(env=EMBEDDED)  # every other request needs the proxy's secret
    url = f"http://127.0.0.1:{app.port}/.metamcp-deploy/ready"
    app.logged("Start failed at step token")
    assert (requests.get(url, timeout=10).status_code, requests.post(url, timeout=10).status_code) == (
        503,
        405,
    )
    del workspace.answers["/oidc/v1/token"]
    app.logged("MetaMCP is up")
    answer = requests.get(f"{url}?probe", timeout=10)
    assert (answer.status_code, answer.text) == (200, "ready\n")


def test_asks_the_workspace_as_the_platform_specifies(launch: Launch, workspace: FakeWorkspace) -> None:
    launch().up()
    token, credential, app = workspace.requests
    assert token[:2] == ("POST", "/oidc/v1/token")
    assert token[2]["authorization"].startswith("Basic ")
    assert token[3] == "grant_type=client_credentials&scope=all-apis"
    assert credential[:2] == ("POST", "/api/2.0/postgres/credentials")
    assert json.loads(credential[3]) == {"endpoint": "projects/p/branches/b/endpoints/e"}
    assert app[:2] == ("GET", "/api/2.0/apps/tiny")


def test_provisioned_instances_use_the_other_call(launch: Launch, workspace: FakeWorkspace) -> None:
    app = launch(env={"LAKEBASE_ENDPOINT": None, "LAKEBASE_INSTANCE_NAME": "legacy"}).up()
    assert "/api/2.0/database/credentials for instance legacy" in app.log
    method, path, _, body = workspace.requests[1]
    assert (method, path) == ("POST", "/api/2.0/database/credentials")
    assert json.loads(body)["instance_names"] == ["legacy"]


def test_another_principal_logs_in_to_the_database(launch: Launch, workspace: FakeWorkspace) -> None:
    other = {
        "METAMCP_DATABASE_CLIENT_ID": "other-principal",
        "METAMCP_DATABASE_CLIENT_SECRET": "other-marked-5d1e",
    }
    app = launch(env={**other, "METAMCP_SECRET_ENV": "METAMCP_DATABASE_CLIENT_SECRET"}).up()
    app.logged("user other-principal (autoscaling)")
    asked = [
        r[2]["authorization"].removeprefix("Basic ") for r in workspace.requests if r[1] == "/oidc/v1/token"
    ]
    given = [base64.b64decode(basic).decode().partition(":")[0] for basic in asked]
    assert given == ["other-principal", "principal"]  # what the app may know of itself it asks as itself
    assert "other-marked-5d1e" not in app.log


def test_the_database_principals_secret_stays_with_the_launcher(launch: Launch) -> None:
    names = ["METAMCP_DATABASE_CLIENT_SECRET", "DATABRICKS_CLIENT_SECRET", "OIDC_CLIENT_SECRET"]
    each = "map((name) => ask('secret', name).catch((error) => error.message))"
    asking = f"let given; Promise.all({json.dumps(names)}.{each}).then((all) => (given = all));"
    backend = programs.BACKEND.replace("let aborted = 0;", f"let aborted = 0;\n{asking}")
    backend = backend.replace("secret: atStart.BETTER_AUTH_SECRET", "secret: { given, atStart }")
    other = {"METAMCP_DATABASE_CLIENT_ID": "other", "METAMCP_DATABASE_CLIENT_SECRET": "other-marked-5d1e"}
    listed = "BETTER_AUTH_SECRET,OIDC_CLIENT_SECRET,METAMCP_DATABASE_CLIENT_SECRET"
    seen = launch(env={**other, "METAMCP_SECRET_ENV": listed}, backend=backend).up().get("/api/env").json()
    refused = [f"there is no secret {json.dumps(name)}" for name in names[:2]]
    assert seen["secret"]["given"] == [*refused, OIDC_SECRET]
    assert "other-marked-5d1e" not in json.dumps(seen)


def test_a_password_of_its_own_needs_no_credential(launch: Launch, workspace: FakeWorkspace) -> None:
    app = launch(env={"PGPASSWORD": "fixed-password-marked"}).up()
    assert not [r for r in workspace.requests if r[1].endswith("/credentials")]
    assert app.get("/api/ask?want=database-password").json() == {"value": "fixed-password-marked"}
    assert "fixed-password-marked" not in app.log


def test_an_external_url_is_taken_apart(launch: Launch) -> None:
    url = "postgresql://me:url%2Dpassword@pg.example.com:6000/other?sslmode=verify-full"
    app = launch(env={"DATABASE_URL": url, "PGHOST": None}).up()
    env = app.get("/api/env").json()["now"]
    names = ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGSSLMODE"]
    assert "PG env status: PGHOST=in-DATABASE_URL" in app.log
    assert [env[n] for n in names] == ["pg.example.com", "6000", "me", "other", "verify-full"]
    assert "DATABASE_URL" not in env
    assert app.get("/api/ask?want=database-password").json() == {"value": "url-password"}


def test_an_external_url_may_leave_its_password_out(launch: Launch) -> None:
    app = launch(
        env={"DATABASE_URL": "postgresql://me@pg.example.com/other", "PGPASSWORD": "kept-apart"}
    ).up()
    assert app.get("/api/ask?want=database-password").json() == {"value": "kept-apart"}


def test_asks_for_its_own_url_when_nobody_sent_it(launch: Launch) -> None:
    app = launch(env={"APP_URL": None}).up()
    assert app.get("/api/env").json()["now"]["APP_URL"] == "https://tiny.example.com"
    # Releases before v2.4.0 render their pages by this name alone.
    assert app.get("/").json()["env"]["NEXT_PUBLIC_APP_URL"] == "https://tiny.example.com"


@pytest.mark.parametrize(
    ("env", "step", "code", "line"),
    [
        ({"PGHOST": None}, "database", "pghost_missing", "\n[MetaMCP][Databricks] PGHOST not set"),
        ({"PGUSER": None}, "database", "pguser_missing", "PGUSER not set"),
        ({"LAKEBASE_ENDPOINT": None}, "database", "lakebase_endpoint_missing", "LAKEBASE_ENDPOINT not set"),
        (
            {"DATABRICKS_CLIENT_SECRET": None},
            "token",
            "client_credentials_missing",
            "\n[MetaMCP][Databricks] Missing Databricks client credentials",
        ),
        (
            {"BETTER_AUTH_SECRET": None},
            "environment",
            "better_auth_secret_missing",
            "BETTER_AUTH_SECRET not set",
        ),
        ({"BETTER_AUTH_SECRET": ""}, "environment", "better_auth_secret_empty", "holds no value"),
        ({"BETTER_AUTH_SECRET": "${BETTER_AUTH_SECRET}"}, "environment", "placeholder", "literal text"),
        ({"APP_URL": "tiny.example.com"}, "app-url", "app_url_missing", "not an http(s) URL"),
        ({"DATABASE_URL": "mysql://a@b/c"}, "database", "database_url_invalid", "postgresql://"),
    ],
)
def test_an_incomplete_environment_is_named(
    launch: Launch, env: dict[str, str | None], step: str, code: str, line: str
) -> None:
    app = launch(env=env)
    answer = app.away()
    assert answer.headers["retry-after"] == "60"
    body = answer.json()
    assert (body["step"], body["code"]) == (step, code)
    assert answer.headers["x-request-id"] == body["request_id"]
    app.logged(line)
    app.logged("Not tried again")
    assert app.get("/health").status_code == 503


@pytest.mark.parametrize(
    ("resource", "path", "asked"),
    [
        (
            {"postgres": {"branch": "projects/p/branches/b"}},
            "/api/2.0/postgres/credentials",
            {"endpoint": "projects/p/branches/b/endpoints/primary"},
        ),
        (
            {"database": {"instance_name": "older"}},
            "/api/2.0/database/credentials",
            {"instance_names": ["older"]},
        ),
    ],
)
def test_asks_for_its_database_when_nobody_named_it(
    launch: Launch,
    workspace: FakeWorkspace,
    resource: dict[str, Any],
    path: str,
    asked: dict[str, Any],
) -> None:
    known = {"url": "https://tiny.example.com", "resources": [{"name": "s", "secret": {}}, resource]}
    workspace.answers["/api/2.0/apps/tiny"] = (200, known)
    launch(env={"LAKEBASE_ENDPOINT": None}).up()
    body = next(json.loads(b) for _, p, _, b in workspace.requests if p == path)
    assert asked.items() <= body.items()


def test_app_url_that_nobody_knows(launch: Launch, workspace: FakeWorkspace) -> None:
    workspace.answers["/api/2.0/apps/tiny"] = (403, {"error_code": "PERMISSION_DENIED"})
    assert launch(env={"APP_URL": None}).away().json()["code"] == "app_url_missing"


TOKEN, CREDENTIAL = "/oidc/v1/token", "/api/2.0/postgres/credentials"


@pytest.mark.parametrize(
    ("path", "answer", "code", "line"),
    [
        (
            TOKEN,
            (401, {"error": "invalid_client"}),
            "token_refused",
            "\n[MetaMCP][Databricks] Failed to fetch workspace OAuth token: HTTP 401",
        ),
        (TOKEN, (200, {}), "token_refused", "Failed to fetch workspace OAuth token"),
        (TOKEN, (200, "<html>"), "token_refused", "Failed to fetch workspace OAuth token: HTTP 200 <html>"),
        (
            CREDENTIAL,
            (404, {"error_code": "NOT_FOUND"}),
            "credential_refused",
            "\n[MetaMCP][Databricks] Failed to generate database credential: HTTP 404",
        ),
        (
            CREDENTIAL,
            (200, {"expiration_time": "x"}),
            "credential_missing",
            "\n[MetaMCP][Databricks] Database credential response missing token",
        ),
        (
            CREDENTIAL,
            (200, {"token": "old-credential", "expiration_time": "2020-01-01T00:00:00Z"}),
            "credential_expired",
            "already ended",
        ),
    ],
)
def test_a_workspace_that_refuses_is_asked_again(
    launch: Launch, workspace: FakeWorkspace, path: str, answer: tuple[int, Any], code: str, line: str
) -> None:
    workspace.answers[path] = answer
    app = launch()
    assert app.away().json()["code"] == code
    app.logged(line)
    del workspace.answers[path]
    app.up()


def test_a_workspace_that_is_not_there(launch: Launch, free: int) -> None:
    app = launch(env={"DATABRICKS_HOST": f"http://127.0.0.1:{free}"})
    assert app.away().json()["code"] == "workspace_unreachable"
    app.logged("Failed to fetch workspace OAuth token: ECONNREFUSED")


def test_a_credential_call_that_breaks_off(launch: Launch, workspace: FakeWorkspace) -> None:
    workspace.breaks_off.add(CREDENTIAL)
    app = launch()
    assert app.away().json()["code"] == "workspace_unreachable"
    app.logged("Error fetching database credential")


def test_a_migration_that_failed_is_not_tried_again(launch: Launch) -> None:
    app = launch(migrate=programs.migrate_failing("schema_forbidden", heals=False))
    body = app.away().json()
    assert (body["step"], body["code"]) == ("migrate", "schema_forbidden")
    assert "does not try again" in body["message"]
    app.logged("\nFailed to apply database migrations: It failed. (evidence)")
    app.logged("Not tried again")
    assert "evidence" not in app.get("/").text


def test_a_database_that_wakes_up_is_tried_again(launch: Launch) -> None:
    app = launch(migrate=programs.migrate_failing("database_unreachable", heals=True))
    app.away()
    app.logged("Trying again in 1 s")
    app.until(lambda: app.log.count("Applying database migrations") >= 2)


MIGRATE_SLOWLY = f"setTimeout(() => {{ {programs.migrated()} }}, 800);"


def test_a_service_boots_early_and_waits_for_what_it_needs(launch: Launch) -> None:
    frontend = programs.FRONTEND.replace("env: process.env", "cwd: process.cwd()")
    app = launch(migrate=MIGRATE_SLOWLY, frontend=frontend).up()
    order = ["Starting frontend", "Starting backend", "Database migrations: 0 applied", "backend says hello"]
    assert sorted(order, key=app.log.index) == order
    assert app.get("/").json()["cwd"].endswith("/apps/frontend")


def test_a_backend_ends_with_the_migrations_and_comes_with_the_next_attempt(launch: Launch) -> None:
    app = launch(migrate=programs.migrate_failing_once("database_unreachable"))
    app.away()
    app.logged("Trying again in 1 s")
    assert "backend says hello" not in app.log
    below = subprocess.run(
        ["ps", "-ww", "-o", "args=", "--ppid", str(app.process.pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "index.mjs" not in below.stdout
    assert "server.js" in below.stdout
    app.up()
    assert app.log.count("backend says hello") == 1
    assert app.log.count("frontend says hello") == 1


def test_a_migrator_without_a_result(launch: Launch) -> None:
    app = launch(migrate=programs.MIGRATE_WITHOUT_RESULT)
    assert app.away().json()["code"] == "migrate_died"
    app.logged("[migrate] boom")
    app.logged("without a result (exit code 7)")


def test_a_migrator_that_never_ends_is_ended(node: Path, tmp_path: Path) -> None:
    (tmp_path / "stuck.mjs").write_text("setInterval(() => {}, 1000);")
    (tmp_path / "none.mjs").write_text("")
    given = {
        "folder": str(tmp_path),
        "entry": "stuck.mjs",
        "preload": str(tmp_path / "none.mjs"),
        "env": {},
        "deadline": 300,
    }
    code = f"""
    import {{ migrate }} from {json.dumps((LAUNCHER / "services/migration.mjs").as_uri())};
    const {{ signal }} = new AbortController();
    const held = setInterval(() => {{}}, 1000);
    await migrate({{ ...{json.dumps(given)}, signal }}).catch(({{ step, code, heals }}) => {{
      console.log(JSON.stringify([step, code, heals]));
    }});
    clearInterval(held);
    """
    argv = [node, "--input-type=module", "-e", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout.splitlines()[-1]) == ["migrate", "migrate_silent", True]


def test_a_backend_that_dies_at_once_is_started_again(launch: Launch) -> None:
    app = launch(backend=programs.BACKEND_DYING)
    body = app.away().json()
    assert (body["step"], body["code"]) == ("backend", "backend_died")
    app.logged("The backend ended with exit code 5")
    app.logged("backend | I die")
    app.until(lambda: app.log.count("Starting backend\n") >= 2)


def test_a_service_that_dies_later_comes_back(launch: Launch) -> None:
    app = launch().up()
    assert app.get("/api/die").status_code in (502, 503)
    app.until(
        lambda: (b := app.get("/api/x").json()).get("code") == "backend_died" and b["step"] == "backend"
    )
    assert app.get("/").json()["service"] == "frontend"
    app.logged("backend | last words")
    app.up()
    assert app.get("/die").status_code in (502, 503)
    app.until(lambda: app.get("/").status_code == 200)


def taken(own: socket.socket, port: int) -> bool:
    try:
        own.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("path", "name"), [("/api/die", "backend"), ("/die", "frontend")])
def test_a_port_that_another_program_took_is_given_up(launch: Launch, path: str, name: str) -> None:
    app = launch().up()
    env = app.get("/").json()["env"]
    inner = env["METAMCP_BACKEND_PORT"]
    own = app.get("/api/env").json()["now"]["METAMCP_BACKEND_PORT"] if name == "backend" else env["PORT"]
    port = int(own)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        app.get(path)
        app.until(lambda: taken(other, port))
        other.listen()
        app.logged(f"Another program has taken the port of the {name}")
        app.until(lambda: app.log.count(f"{name} is up after") == 2)
        app.until(lambda: app.get("/").status_code == 200 and app.get("/health").status_code == 200)
    now = app.get("/").json()["env"]
    backend = app.get("/api/env").json()["now"]
    asked = requests.get(f"http://127.0.0.1:{inner}/api/auth/get-session", timeout=120)
    assert (now["METAMCP_BACKEND_PORT"], asked.json()["service"]) == (inner, "backend")
    assert str(port) not in (backend["METAMCP_BACKEND_PORT"], now["PORT"])


# The first call that would start the named program throws, as it does when memory is short.
THROWING = """
import children from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
const { spawn } = children;
let left = 1;
children.spawn = (program, args, options) => {
  if (args?.some((arg) => arg.endsWith("NAMED")) && left-- > 0) {
    throw Object.assign(new Error("spawn ENOMEM"), { code: "ENOMEM" });
  }
  return spawn(program, args, options);
};
syncBuiltinESMExports();
"""


@pytest.mark.parametrize(
    ("named", "code"),
    [("index.mjs", "backend_died"), ("server.js", "frontend_died"), ("migrate.mjs", "migrate_died")],
)
def test_a_program_that_cannot_be_started_now_is_started_later(
    launch: Launch, tmp_path: Path, named: str, code: str
) -> None:
    (tmp_path / "throwing.mjs").write_text(THROWING.replace("NAMED", named))
    app = launch(env={"NODE_OPTIONS": f"--import {tmp_path / 'throwing.mjs'}"})
    assert app.away().json()["code"] == code
    app.logged("cannot be started: ENOMEM")
    app.up()
    app.until(lambda: app.get("/").status_code == 200)


def test_a_service_comes_back_when_there_are_descriptors_again(launch: Launch) -> None:
    app = launch().up()
    pid = app.process.pid
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_now = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    backend = below(pid, "index.mjs")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now - 2, usual[1]))
    os.kill(backend, signal.SIGKILL)
    app.logged("cannot be")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    app.up()
    assert "Unexpected error" not in app.log


def below(parent: int, program: str) -> int:
    """The child that runs a program."""
    argv = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent)]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return next(int(line.split()[0]) for line in lines if line.endswith(program))


def test_answers_503_while_it_starts(launch: Launch) -> None:
    app = launch(migrate="setTimeout(() => {}, 60000);")
    body = app.until(lambda: (b := app.get("/").json())["step"] == "migrate" and b)
    assert body["status"] == "starting"
    answer = app.get("/trpc/x", headers={"X-Request-Id": "given-by-the-platform"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["request_id"] == "given-by-the-platform"
    assert app.stop() < 4


# A sandbox where a program may not write its own memory.
SEALED = """
import fs from "node:fs";
const { openSync } = fs;
fs.openSync = (file, ...more) => {
  if (file === "/proc/self/mem") throw new Error("EACCES");
  return openSync(file, ...more);
};
"""


@pytest.mark.parametrize("sealed", [False, True], ids=["overwritten", "started over"])
def test_no_secret_in_the_log_or_in_any_environment(
    launch: Launch, workspace: FakeWorkspace, tmp_path: Path, sealed: bool
) -> None:
    (tmp_path / "sealed.mjs").write_text(SEALED)
    app = launch(env={"NODE_OPTIONS": f"--import {tmp_path / 'sealed.mjs'}" if sealed else None}).up()
    handed_over = Path(f"/proc/{app.process.pid}/fd/0").readlink().name == "handover (deleted)"
    assert handed_over is sealed
    env = app.get("/api/env").json()
    assert env["secret"] == AUTH_SECRET
    assert env["now"]["LOG_LEVEL"] == "info"
    assert env["now"]["OIDC_CLIENT_SECRET"] == "held-by-the-launcher"
    marked = [
        AUTH_SECRET,
        CLIENT_SECRET,
        OIDC_SECRET,
        *workspace.issued,
        "workspace-token-marked",
        "foreign-marked-5511",
    ]
    seen = [app.log, json.dumps(env["now"]), app.get("/").text, *environments(app.process.pid)]
    assert len(seen) == 6
    assert not [(m, i) for m in marked for i, text in enumerate(seen) if m in text]
    assert Path(f"/proc/{app.process.pid}/fd/0").read_bytes() == b""


def environments(root: int) -> list[str]:
    """Environment of a process and of everything below it."""
    tree = [root]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(root):
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if parent == str(root):
                tree.append(int(entry.name))
    return [Path(f"/proc/{pid}/environ").read_text() for pid in tree]


def test_the_backend_gets_secrets_only_while_it_starts(launch: Launch) -> None:
    app = launch().up()
    answer = app.get("/api/ask?want=secret&name=BETTER_AUTH_SECRET").json()
    assert "while the service starts" in answer["error"]
    assert "hand out" in app.get("/api/ask?want=client-secret").json()["error"]
    assert app.get("/api/ask?want=database-password").json()["value"].startswith("db-credential-marked")


def test_programs_that_inherit_the_preload_are_not_touched_by_it(launch: Launch) -> None:
    answer = launch().up().get("/api/fork").json()
    assert answer["code"] == 0
    assert "BETTER_AUTH_SECRET" not in answer["env"]


def test_credentials_are_renewed_before_they_end(launch: Launch, workspace: FakeWorkspace) -> None:
    workspace.ttl = 2
    app = launch().up()
    first = app.get("/api/ask?want=database-password").json()["value"]
    app.until(lambda: app.get("/api/ask?want=database-password").json()["value"] != first, 60)
    assert len([r for r in workspace.requests if r[1] == TOKEN]) == 1


def test_a_workspace_token_that_was_taken_back_is_not_shown_again(
    launch: Launch, workspace: FakeWorkspace
) -> None:
    workspace.answers[CREDENTIAL] = (401, {"error_code": "UNAUTHENTICATED"})
    app = launch()
    app.away()
    del workspace.answers[CREDENTIAL]
    app.up()
    assert len([r for r in workspace.requests if r[1] == TOKEN]) >= 2


def test_an_ended_credential_is_never_offered(launch: Launch, workspace: FakeWorkspace) -> None:
    workspace.ttl = 1
    app = launch().up()
    workspace.answers[CREDENTIAL] = (503, "away")
    error = app.until(lambda: app.get("/api/ask?want=database-password").json().get("error"), 60)
    assert "HTTP 503" in error
    app.logged("was not renewed")
    del workspace.answers[CREDENTIAL]
    app.until(lambda: "value" in app.get("/api/ask?want=database-password").json(), 60)


def test_several_instances_are_refused_unless_asked_for(launch: Launch, workspace: FakeWorkspace) -> None:
    scaled = {"name": "tiny", "url": "https://tiny.example.com", "compute_max_instances": 3}
    workspace.answers["/api/2.0/apps/tiny"] = (200, scaled)
    app = launch()
    body = app.away().json()
    assert (body["step"], body["code"]) == ("environment", "many_instances")
    app.logged("scaled to 3 instances: MetaMCP keeps its sessions in the memory of one instance")
    app.logged("app.allow_instances")
    workspace.answers["/api/2.0/apps/tiny"] = (200, scaled | {"compute_max_instances": 1})
    app.up()
    app.stop()
    workspace.answers["/api/2.0/apps/tiny"] = (200, scaled)
    launch(env={"METAMCP_ALLOW_INSTANCES": "true"}).up()


def test_a_workspace_that_does_not_tell_how_many_instances(launch: Launch, workspace: FakeWorkspace) -> None:
    workspace.answers["/api/2.0/apps/tiny"] = (403, {"error_code": "PERMISSION_DENIED"})
    assert "PERMISSION_DENIED" not in launch().up().log


@pytest.mark.parametrize(
    ("size", "limits", "backend", "frontend"),
    [
        ("MEDIUM", {}, 2457, 614),
        ("LARGE", {}, 4096, 1228),
        ("", {}, 4096, 1638),
        ("XLARGE", {"memory.max": "max"}, 4096, 1638),
        ("MEDIUM", {"memory.max": str(1024**3)}, 409, 128),
        ("LARGE", {"memory.limit_in_bytes": str(4 * 1024**3)}, 1638, 409),
        ("MEDIUM", {"memory.limit_in_bytes": "9223372036854771712"}, 2457, 614),
    ],
)
def test_heaps_fit_the_container(
    node: Path, size: str, limits: dict[str, str], backend: int, frontend: int
) -> None:
    module = json.dumps((LAUNCHER / "services/memory.mjs").as_uri())
    find = "const found = limits[file.split('/').at(-1)]; if (!found) throw new Error('none'); return found;"
    code = f"import {{ available, heapOptions }} from {module}; const limits = {json.dumps(limits)};"
    code += f"const read = (file) => {{ {find} }};"
    code += f"const bytes = available({{ METAMCP_COMPUTE_SIZE: {size!r} }}, read, 16 * 2 ** 30);"
    code += "console.log(['backend', 'frontend'].map((name) => heapOptions(name, bytes)[0]).join(' '));"
    done = subprocess.run(
        [node, "--input-type=module", "-e", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [f"--max-old-space-size={n}" for n in (backend, frontend)]


def test_cannot_bind(launch: Launch) -> None:
    first = launch().up()
    second = launch(env={"DATABRICKS_APP_PORT": str(first.port)})
    assert second.process.wait(60) == 1
    assert "EADDRINUSE" in second.log


def test_listens_on_loopback_only_below_an_embedded_workspace(launch: Launch) -> None:
    app = launch(env={"DATABRICKS_HOST": "https://dev.example.invalid"})
    app.logged(f"Listening on 0.0.0.0:{app.port}")
    app.stop()
    app = launch()
    app.logged(f"Listening on 127.0.0.1:{app.port}")
