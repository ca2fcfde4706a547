"""An embedded workspace used like a remote one, tenants in it, and what is to be seen of a tenant from outside."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests

from metamcp_deploy import local
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.local.lifecycle import Running
from tests.deploy.tiny_app import write_bundle

# What the tool may wait, so that a stall costs a second and an outage a few. The defaults are tested with a fake clock.
WAITS = {"answer": 8, "throttled": 6, "outage": 6}
_VOLATILE = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}")


@dataclass(frozen=True)
class World:
    """A running workspace.

    Attributes:
        owner: the project whose folder holds it.
        running: its address and credentials.
        folder: below which each tenant gets a working folder.
    """

    owner: Project
    running: Running
    folder: Path

    @classmethod
    def up(cls, folder: Path, realistic: float | None = None) -> World:
        """Starts one, and lets this process log in to it as to any workspace: through the environment."""
        owner = Project(folder / "owner", Settings.model_validate({"target": "local", "embedded": True}))
        running = local.up(owner, realistic=realistic, instances=True)
        os.environ |= {
            "DATABRICKS_HOST": running.url,
            "DATABRICKS_CLIENT_ID": running.client_id,
            "DATABRICKS_CLIENT_SECRET": running.client_secret.reveal(),
            "DATABRICKS_CONFIG_FILE": str(folder / "none"),
        }
        return cls(owner, running, folder)

    def down(self) -> None:
        """Ends it, with all its data."""
        local.reset(self.owner)

    def tenant(self, name: str, **settings: Any) -> Project:
        """A project with names of its own, and a bundle that is built."""
        shape = {"target": "dev", "workspace": {"host": self.running.url}, "waits": WAITS, **settings}
        shape["app"] = {"name": name, **settings.get("app", {})}
        project = Project(self.folder / name, Settings.model_validate(shape))
        write_bundle(project)
        return project

    def requests(self, since: int) -> list[tuple[str, str]]:
        """Method and path of all requests since a place in the record, in the order of their answers."""
        lines = map(json.loads, self._record().read_text()[since:].splitlines())
        return [(r["method"], r["path"]) for r in lines if not r["path"].startswith("/local/")]

    def place(self) -> int:
        """The end of the record of requests."""
        return self._record().stat().st_size

    def _record(self) -> Path:
        return self.owner.local / "requests.jsonl"

    def ask(self, method: str, path: str, *, raw: bool = False, query: Any = None, body: Any = None) -> Any:
        """One request of an onlooker; None for what is not there."""
        headers = {"Authorization": f"Bearer {self.running.token.reveal()}"}
        url = f"{self.running.url}/api/2.0/{path}"
        answer = requests.request(method, url, headers=headers, params=query, json=body, timeout=120)
        if answer.status_code == 404:
            return None
        if not answer.ok:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.content if raw else answer.json()

    def headers(self) -> dict[str, str]:
        """What opens an app."""
        form = {"grant_type": "client_credentials", "scope": "all-apis"}
        who = (self.running.client_id, self.running.client_secret.reveal())
        answer = requests.post(f"{self.running.url}/oidc/v1/token", data=form, auth=who, timeout=120)
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def files(self, path: str) -> dict[str, bytes]:
        """Every file below a folder."""
        found: dict[str, bytes] = {}
        listing = self.ask("GET", "workspace/list", query={"path": path}) or {}
        for entry in listing.get("objects", []):
            if entry["object_type"] == "DIRECTORY":
                found |= self.files(entry["path"])
            else:
                query = {"path": entry["path"], "format": "AUTO", "direct_download": "true"}
                found[entry["path"]] = self.ask("GET", "workspace/export", raw=True, query=query)
        return found

    def seen(self, project: Project) -> dict[str, Any]:
        """All that there is of a tenant, in words that are the same for every tenant in the same state."""
        name = project.settings.app.name
        app = self.ask("GET", f"apps/{name}")
        deployments = self._deployments(name) if app else []
        files = self.files(root(project))
        active = ((app or {}).get("active_deployment") or {}).get("deployment_id")
        found = {
            "app": self._app(project, app),
            "deployments": sorted(d["status"]["state"] for d in deployments),
            "records": sorted(_record(p, c, active) for p, c in files.items() if "/deployments/" in p),
            "files": sorted(_file(project, p, c) for p, c in files.items() if "/deployments/" not in p),
            "lakebase": self._lakebase(project.settings.app.name),
            "secrets": self._secrets(project.settings.secret_scope),
        }
        shown: dict[str, Any] = json.loads(json.dumps(found).replace(name, "NAME"))
        return shown

    def _deployments(self, name: str) -> list[Any]:
        found: list[Any] = self.ask("GET", f"apps/{name}/deployments")["app_deployments"]
        return found

    def _app(self, project: Project, app: Any) -> Any:
        if app is None:
            return None
        name = app["name"]
        serves = env = None
        secret = ""
        if (app.get("app_status") or {}).get("state") == "RUNNING":
            headers = self.headers()
            serves = requests.get(f"{app['url']}/metamcp/health", headers=headers, timeout=120).status_code
            given = requests.get(f"{app['url']}/env", headers=headers, timeout=120).json()
            env, secret = sorted(given), _digest(given.get("BETTER_AUTH_SECRET", ""))
        granted = self.ask("GET", f"permissions/apps/{name}")["access_control_list"]
        return {
            "compute": app["compute_status"]["state"],
            "state": (app.get("app_status") or {}).get("state"),
            "resources": app.get("resources"),
            "source": (app.get("active_deployment") or {}).get("source_code_path"),
            "pending": bool(app.get("pending_deployment")),
            "serves": serves,
            "env": env,
            "with the stored secret": secret == self.secret(project),
            "grants": len(granted),
        }

    def _lakebase(self, project: str) -> list[str]:
        found = [
            p["name"]
            for p in self.ask("GET", "postgres/projects").get("projects", [])
            if project in p["name"]
        ]
        for parent, kinds in ((0, ("branches",)), (1, ("endpoints", "databases", "roles"))):
            for above in [n for n in found if n.count("/") == 1 + 2 * parent]:
                for kind in kinds:
                    found += [c["name"] for c in self.ask("GET", f"postgres/{above}/{kind}").get(kind, [])]
        # The roles of an app and of its user are called by ids.
        return sorted(_VOLATILE.sub("ID", n) for n in found)

    def _secrets(self, scope: str) -> list[str]:
        held = self.ask("GET", "secrets/list", query={"scope": scope})
        scopes = self.ask("GET", "secrets/scopes/list").get("scopes", [])
        named = [s["name"] for s in scopes if s["name"].startswith(scope)]
        return named + sorted(s["key"] for s in (held or {}).get("secrets", []))

    def secret(self, project: Project) -> str | None:
        """The app's secret as it is stored; never shown."""
        query = {"scope": project.settings.secret_scope, "key": "BETTER_AUTH_SECRET"}
        held = self.ask("GET", "secrets/get", query=query)
        return _digest(base64.b64decode(held["value"]).decode()) if held else None

    def lock(self, project: Project) -> bool:
        """Whether the tenant's lock is there."""
        path = f"{root(project)}/state/deploy.lock"
        return self.ask("GET", "workspace/get-status", query={"path": path}) is not None

    def remove(self, project: Project) -> None:
        """Ends all that there is of a tenant."""
        settings = project.settings
        self.ask("DELETE", f"apps/{settings.app.name}")
        while self.ask(
            "GET", f"apps/{settings.app.name}"
        ):  # its role goes with it: not while its database does
            time.sleep(0.05)
        self.ask("DELETE", f"postgres/projects/{settings.app.name}")
        self.ask("POST", "secrets/scopes/delete", body={"scope": settings.secret_scope})
        top = root(project).rsplit("/", 1)[0]
        self.ask("POST", "workspace/delete", body={"path": top, "recursive": True})
        for folder in (project.folder, elsewhere(project).folder):
            shutil.rmtree(folder, ignore_errors=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def elsewhere(project: Project) -> Project:
    """The same target from another folder, as another machine has it."""
    other = replace(project, folder=project.folder.with_name(f"{project.folder.name}-elsewhere"))
    if not other.folder.exists():
        shutil.copytree(project.bundle, other.bundle)
        other.state.mkdir(parents=True)
        shutil.copy(project.state / "build.json", other.state)
    return other


def root(project: Project) -> str:
    """The default place of a target, spelt out here anew: the tool's own idea of it is under test."""
    settings = project.settings
    return f"/Workspace/Users/developer@example.com/.bundle/{settings.app.name}/{settings.target}"


def _record(path: str, content: bytes, active: str | None) -> str:
    record = json.loads(content)
    named = path.endswith(f"-{record['deployment']}.json")
    runs = "runs" if record["deployment"] == active else "does not run"
    return f"{record['kind']} {record['release']} {record['outcome']}, {runs}" + (
        "" if named else ", misnamed"
    )


def _file(project: Project, path: str, content: bytes) -> str:
    """Its path, and whether it is the local one; what tells times and ids is only named."""
    below = path.removeprefix("/Workspace").removeprefix(root(project).removeprefix("/Workspace"))
    match = re.fullmatch(r"/releases/([0-9a-f]{16})/(.*)", below)
    if match is None:
        return below
    if match[2] == ".complete":
        sizes = {p.name: p.stat().st_size for p in (project.bundle / "app").iterdir()}
        right = json.loads(content) == {"release": match[1], "files": sizes}
    else:
        right = content == (project.bundle / "app" / match[2]).read_bytes()
    return below if right else f"{below} is not as it was sent"
