"""The `db` commands as people type them, with an app's name and a profile alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import requests

from metamcp_deploy.database import connection
from metamcp_deploy.target import session
from tests import commands
from tests.database.conftest import MIGRATIONS, SCHEMA, World

Run = Callable[..., "subprocess.CompletedProcess[str]"]
FIRST, SECOND = MIGRATIONS


@pytest.fixture
def on_call(autoscaling: World, isolated: Path, folder: Path) -> Run:
    """Runs `db WORDS` in an empty folder."""
    running = autoscaling.running
    secret = running.client_secret.reveal() if running.client_secret else ""
    profile = f"host = {running.url}\nclient_id = {running.client_id}\nclient_secret = {secret}\n"
    (isolated / ".databrickscfg").write_text(f"[oncall]\n{profile}")

    def run(*words: str, app: str = "scaling", given: str = "") -> subprocess.CompletedProcess[str]:
        return commands.run("db", *words, "--app", app, "-p", "oncall", folder=folder, given=given)

    return run


def document(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, object]:
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_status(world: World, on_call: Run) -> None:
    found = document(on_call("status", "-o", "json"))
    assert found["schema"] == {
        "name": SCHEMA,
        "owner": world.role,
        "bytes": sum(t["bytes"] for t in found["tables"]),  # type: ignore[attr-defined]
    }
    assert {t["name"] for t in found["tables"]} == {"endpoints", "servers", "__drizzle_migrations"}  # type: ignore[attr-defined]
    assert found["migrations"] == {"readable": True, "applied": 2, "pending": [], "unknown": []}
    assert (found["login"], found["app_role"]) == ("developer@example.com", world.role)
    text = on_call("status").stdout
    assert "2 applied" in text
    assert "nobody waits" in text


def test_check_of_a_healthy_database(world: World, on_call: Run) -> None:
    found = document(on_call("check", "-o", "json"))["checks"]
    assert [(one["id"], one["level"]) for one in found] == [  # type: ignore[attr-defined]
        *((name, "ok") for name in ("role", "writable", "public", "schema", "owners", "grants", "ledger"))
    ]


def test_check_names_everything_that_is_wrong(world: World, on_call: Run) -> None:
    with world.superuser() as made:
        made.execute(f'ALTER TABLE {SCHEMA}.servers OWNER TO "developer@example.com"')
        made.execute("CREATE TABLE public.endpoints ()")
        made.execute(f"DELETE FROM {SCHEMA}.__drizzle_migrations WHERE created_at > 1700000000000")
    done = on_call("check")
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert f"belong to developer@example.com, not to the app's role {world.role}: servers." in said
    assert f'ALTER TABLE "{SCHEMA}"."servers" OWNER TO "{world.role}";' in said
    assert "The schema public holds tables of MetaMCP: endpoints." in said
    assert f"Not applied yet: {SECOND}." in said
    assert "The app may not read and write servers." in said


def test_check_without_the_app_s_role_or_schema(autoscaling: World, on_call: Run) -> None:
    found = document(on_call("check", "-o", "json"))["checks"]
    assert {one["id"]: one["level"] for one in found}["schema"] == "note"  # type: ignore[attr-defined]
    name = autoscaling.physical
    with autoscaling.superuser() as made:
        made.execute(f'REVOKE CONNECT, CREATE ON DATABASE "{name}" FROM "{autoscaling.role}"')
        try:
            done = on_call("check")
        finally:
            made.execute(f'GRANT CONNECT, CREATE ON DATABASE "{name}" TO "{autoscaling.role}"')
    assert done.returncode == 1
    assert "has no CONNECT on the database" in done.stdout
    assert "may not create it" in done.stdout


def test_each_kind(provisioned: World, external: World, on_call: Run) -> None:
    """`--app` and a profile are enough also for a database that only a secret names."""
    for app, role in (("instanced", provisioned.role), ("outside", "postgres")):
        found = document(on_call("status", "-o", "json", app=app))
        assert found["app_role"] == role
        checks = document(on_call("check", "-o", "json", app=app))["checks"]
        assert {one["id"]: one["level"] for one in checks}["schema"] == "note"  # type: ignore[attr-defined]
        assert "is not there yet" in on_call("status", app=app).stdout
    assert "postgres logs in to postgres at 127.0.0.1:" in on_call("credential", app="outside").stdout
    way = document(on_call("credential", "--as-app", "-o", "json", app="outside"))
    outcomes = [one["outcome"] for one in way["steps"]]  # type: ignore[attr-defined]
    assert outcomes == ["skipped", "skipped", "skipped", "ok", "ok"]


def test_sessions_and_what_they_hold(world: World, on_call: Run) -> None:
    with world.superuser() as made:
        made.execute("BEGIN")
        made.execute(f"LOCK TABLE {SCHEMA}.servers IN SHARE MODE; SELECT 'marked'")
        found = document(on_call("sessions", "-o", "json"))["sessions"]
        text = on_call("sessions").stdout
        pid = made.info.backend_pid
    (mine,) = (one for one in found if one["pid"] == pid)  # type: ignore[attr-defined]
    assert mine["locks"] == [{"mode": "ShareLock", "on": "servers", "granted": True}]
    assert "holds ShareLock on servers" in text
    assert "marked" not in text + json.dumps(found)


def test_ending_a_session(world: World, on_call: Run) -> None:
    """Of one's own role; of another's PostgreSQL wants pg_signal_backend, as of whoever may not."""
    with world.superuser("developer@example.com") as made:
        pid = made.info.backend_pid
        made.execute("RESET ROLE")
        refused = on_call("sessions", "--end", str(pid), "--auto-approve")
        assert (refused.returncode, "42501" in refused.stderr) == (1, True), "it is the superuser's"
        asked = on_call("sessions", "--end", str(pid))
        assert "needs your word" in " ".join(asked.stderr.split())
        with connection.connect(world.site, world.app, timeout=20) as mine:
            other = mine.info.backend_pid
            ended = on_call("sessions", "--end", str(other), "--auto-approve", "-o", "json")
            assert document(ended) == {"ended": [other]}
            with pytest.raises(psycopg.OperationalError):
                mine.execute("SELECT 1")
    gone = on_call("sessions", "--end", "1", "--auto-approve")
    assert "has no session 1" in gone.stderr


def test_a_credential_is_not_shown_unless_asked_for(world: World, on_call: Run) -> None:
    text = on_call("credential").stdout
    assert "developer@example.com logs in to metamcp_app at 127.0.0.1:" in text
    assert f"The app logs in as {world.role}; developer@example.com is no member of it." in text
    found = document(on_call("credential", "-o", "json"))
    assert "password" not in found
    assert (found["app_principal"], found["schema_owner"]) == (world.role, world.role)
    shown = on_call("credential", "--show")
    assert len(shown.stdout.strip()) > 40
    assert shown.stdout.strip() not in shown.stderr


def test_the_launcher_s_way(world: World, on_call: Run, folder: Path) -> None:
    """The platform gives the client secret to the app alone; the tiny app tells its environment."""
    done = on_call("credential", "--as-app")
    assert done.returncode == 1
    assert "to the app alone" in " ".join(done.stderr.split())
    env = requests.get(
        f"{world.app.url}/env", headers=session.connect(world.project).app_headers(), timeout=60
    )
    secret = env.json()["DATABRICKS_CLIENT_SECRET"]
    found = document(
        on_call("credential", "--as-app", "--client-secret-file", "-", "-o", "json", given=secret)
    )
    assert [(one["name"], one["outcome"]) for one in found["steps"]] == [  # type: ignore[attr-defined]
        *((name, "ok") for name in ("client secret", "token", "credential", "login", "schema"))
    ]
    wrong = on_call("credential", "--as-app", "--client-secret-file", "-", given="marked-secret")
    assert wrong.returncode == 1
    assert "✗ token" in wrong.stdout
    assert "marked-secret" not in wrong.stdout + wrong.stderr


def test_what_the_next_start_would_apply(autoscaling: World, on_call: Run) -> None:
    found = document(on_call("migrate", "--plan", "-o", "json"))
    assert found["counts"] == {"create": 3}
    autoscaling.migrate((FIRST,))
    try:
        text = on_call("migrate", "--plan").stdout
    finally:
        autoscaling.forget()
    assert f"= keep     migration {FIRST}  (applied)" in text
    assert f"+ create   migration {SECOND}  (of the release that runs)" in text
    assert on_call("migrate").returncode == 2
