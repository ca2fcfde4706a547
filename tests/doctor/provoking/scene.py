"""One deployed app that failures are provoked in, and what provoking them takes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import psycopg
import requests
import yaml
from psycopg import sql

from metamcp_deploy import doctor, local
from metamcp_deploy.config.loading import load
from metamcp_deploy.config.project import Project
from metamcp_deploy.database import connection
from metamcp_deploy.deployments import start_stop
from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.report import Report
from metamcp_deploy.errors import DeployError
from metamcp_deploy.local import faults
from metamcp_deploy.local.faults import presets
from metamcp_deploy.preflight.scene import wanted
from metamcp_deploy.target import session
from metamcp_deploy.target.site import Site
from metamcp_deploy.workspace import Workspace
from metamcp_deploy.workspace.apps import App
from tests import commands
from tests.embedded_people import owner, person

APP = "metamcp"
OWNER = "developer@example.com"
SCHEMA = "metamcp_app"
STRETCH = 3.0  # the machine may be busy; seconds are measured, deadlines are not the subject


class Scene:
    """A folder with metamcp.yaml, its embedded workspace, and the app in it.

    Args:
        folder: a working folder of its own, whose embedded workspace this is.
        upstream: `url` and `ref` of what is deployed.
    """

    def __init__(self, folder: Path, upstream: dict[str, str]) -> None:
        self.folder, self.upstream, self.name = folder, upstream, APP
        self.undoing: list[Callable[[], Any]] = []
        self.physical = ""
        self.seen: Callable[[], Project] = lambda: self.project

    # The app.

    def configure(self, **sections: Any) -> None:
        """Writes metamcp.yaml; the app's own section is laid over its name."""
        app = {"name": APP, "permissions": [], **sections.pop("app", {})}
        document = {
            "version": 1,
            "upstream": self.upstream,
            "app": app,
            **sections,
            "targets": {"local": {"embedded": True}},
            "default_target": "local",
        }
        (self.folder / "metamcp.yaml").write_text(yaml.safe_dump(document))
        self.__dict__.pop("project", None)

    def deploy(self, *words: str) -> None:
        """Deploys by the command, and learns what Postgres calls the app's database."""
        self.tool("deploy", *words)
        self.physical = self.the_database()

    def tool(self, *words: str, fails: bool = False, env: dict[str, str] | None = None) -> str:
        """Standard output of a command."""
        done = commands.run(*words, folder=self.folder, env=None if env is None else {**os.environ, **env})
        assert fails or done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-4000:])
        return done.stdout

    @cached_property
    def project(self) -> Project:
        return load(self.folder, target="local")

    @property
    def running(self) -> local.Running:
        return local.reached(self.project)

    @property
    def site(self) -> Site:
        return session.site(self.project)

    @property
    def workspace(self) -> Workspace:
        return session.connect(self.project)

    @property
    def app(self) -> App:
        return self.workspace.apps.get(self.name)

    @property
    def role(self) -> str:
        """What the app logs in to its database as."""
        return self.app.principal

    def env(self) -> list[dict[str, str]]:
        """What this tool sends with a deployment."""
        app = self.app
        return wanted(self.project, app, OWNER).app.environment(app.url)

    # Looking.

    def look(self, **options: Any) -> Report:
        """`doctor`, as the command does it."""
        return doctor.look(lambda: self.seen(), stretch=STRETCH, **options)

    def view(self, project: Callable[[], Project]) -> None:
        """What `doctor` is asked about, until it is undone."""
        self.seen = project
        self.later(lambda: self.view_own())

    def view_own(self) -> None:
        self.seen = lambda: self.project

    def bare(self, app: str, **login: str) -> None:
        """Asks as somebody without a checkout does: by the app's name, and a login of the environment."""
        own = {"client_id": self.running.client_id, "client_secret": self.running.client_secret.reveal()}
        keys = login or own
        folder = self.folder / "empty"
        folder.mkdir(exist_ok=True)
        profile = "".join(f"{name} = {value}\n" for name, value in keys.items())
        Path.home().joinpath(".databrickscfg").write_text(f"[oncall]\nhost = {self.running.url}\n{profile}")
        self.view(lambda: load(folder, app=app, profile="oncall"))

    def healthy(self, seconds: float) -> bool:
        """Whether the app is well within that time."""
        from metamcp_deploy.deployments import access
        from metamcp_deploy.health import Status

        ends = time.monotonic() + seconds
        while True:
            try:
                if access.healthy(self.project).status is Status.HEALTHY:
                    return True
            except DeployError:
                pass
            if time.monotonic() > ends:
                return False
            time.sleep(0.3)

    # Acting.

    def later(self, undo: Callable[[], Any]) -> None:
        """Has something undone after the failure was named, last first."""
        self.undoing.append(undo)

    def undo(self) -> None:
        while self.undoing:
            self.undoing.pop()()

    def stop(self) -> None:
        start_stop.stop(self.site)

    def start(self) -> None:
        """Starts the app; an app that then crashes is what some failures are about."""
        try:
            start_stop.start(self.site)
        except DeployError as e:
            if self.app.state != "CRASHED":
                raise AssertionError(e.message) from e

    def restart(self) -> None:
        self.stop()
        self.start()

    def redeploy(self) -> None:
        """What the settings say, deployed again."""
        self.tool("app-deploy", "--redeploy")

    def fault(self, what: str, **more: Any) -> None:
        """A fault of the embedded workspace, until it is undone."""
        running = self.running
        name = faults.add(running, presets.chosen(what, more))
        self.later(lambda: faults.clear(running, name))

    def person(self, name: str) -> dict[str, str]:
        """Somebody else's login."""
        made = person(self.running, name)
        return {"client_id": made["client_id"], "client_secret": made["client_secret"]}

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the workspace's API as its owner."""
        running = self.running
        answer = requests.request(
            method, f"{running.url}{path}", json=body, headers=owner(running), timeout=60
        )
        assert answer.status_code < 300, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def get(self, path: str, **options: Any) -> requests.Response:
        """A request to the app as its users make it."""
        headers = {**self.workspace.app_headers(), **options.pop("headers", {})}
        return requests.request(
            options.pop("method", "GET"),
            f"{self.app.url}{path}",
            headers=headers,
            timeout=options.pop("timeout", 30),
            allow_redirects=False,
            **options,
        )

    # The database.

    def the_database(self) -> str:
        """What the one Postgres calls the app's database."""
        with connection.connect(self.site, self.app, timeout=20) as made:
            found = made.execute("SELECT current_database()").fetchone()
        assert found
        return str(found[0])

    def uris(self) -> dict[str, str]:
        found: dict[str, str] = self.api("GET", "/local/status")["superuser_uris"]
        return found

    @contextmanager
    def superuser(self, database: str = "") -> Iterator[psycopg.Connection[Any]]:
        """A connection past all rules, to the app's database unless another one is named."""
        with psycopg.connect(self.uris()[database or self.physical], autocommit=True) as opened:
            yield opened

    def sql(self, statement: str, database: str = "") -> list[Any]:
        """A statement as superuser; {role}, {schema}, {database} stand for the quoted names."""
        names = {
            "role": sql.Identifier(self.role),
            "schema": sql.Identifier(SCHEMA),
            "database": sql.Identifier(self.physical),
        }
        with self.superuser(database) as opened:
            done = opened.execute(sql.SQL(statement).format(**names))
            return done.fetchall() if done.description else []

    def raw(self, statement: str) -> None:
        """Statements as superuser, taken as they are."""
        with self.superuser() as opened:
            opened.execute(statement.encode())

    def disconnect(self) -> None:
        """Ends the app's connections, so that its next ones meet what was changed."""
        self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{self.role}'")

    @property
    def project_name(self) -> str:
        """The app's Lakebase project."""
        found = next(r["postgres"] for r in self.app.resources if "postgres" in r)
        return str(found["branch"]).partition("/branches/")[0]

    # Processes.

    def launcher(self) -> psutil.Process:
        """The app's first process."""
        here = str(self.folder.resolve())
        for process in psutil.process_iter(["cmdline", "cwd"]):
            titled = "metamcp-launcher" in " ".join(process.info["cmdline"] or [])
            if titled and str(process.info["cwd"] or "").startswith(here):
                return process
        raise AssertionError("the launcher does not run")

    def service(self, name: str) -> psutil.Process:
        """The process of `backend` or `frontend`."""
        document = self.inside()
        return psutil.Process(document["services"][name]["pid"])

    def inside(self) -> dict[str, Any]:
        """What the launcher tells operators."""
        answer = self.get("/.metamcp-deploy/status")
        assert answer.status_code == 200, answer.text[:500]
        found: dict[str, Any] = answer.json()
        return found


def above_notes(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.level is not Level.NOTE]


def until(true: Callable[[], Any], seconds: float = 30.0, what: str = "") -> Any:
    """Waits for a value that is true."""
    ends = time.monotonic() + seconds
    while True:
        if found := true():
            return found
        assert time.monotonic() < ends, what or f"not within {seconds} s"
        time.sleep(0.1)


def shown(report: Report) -> str:
    return json.dumps([(f.level.value, f.id, f.summary) for f in report.findings], indent=1)
