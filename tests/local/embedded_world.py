"""What tests of the embedded workspace work with: a running one, and the real SDK's client on it."""

from __future__ import annotations

import io
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.service.apps import App, AppDeployment, AppDeploymentMode
from databricks.sdk.service.workspace import ImportFormat

from metamcp_deploy import local
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project

_names = itertools.count(1)

# Small apps of our own; each listens as the platform wants it.
WEB = Path(__file__).parent / "apps" / "web"


@dataclass
class World:
    """A running workspace, its project, and a client."""

    project: Project
    running: local.Running
    client: WorkspaceClient

    def place(self, name: str) -> dict[str, Any]:
        """Where psycopg reaches an endpoint (`projects/…`) or an instance (`instances/NAME`)."""
        at = local.status(self.project)["postgres"]
        return {"host": at["host"], "port": at["endpoints"][name], "sslmode": at["sslmode"]}

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.client.config.authenticate())

    def name(self) -> str:
        return f"app-{next(_names)}"

    @staticmethod
    def web() -> dict[str, str | bytes]:
        return {p.name: p.read_bytes() for p in WEB.iterdir()}

    def upload(self, path: str, files: dict[str, str | bytes]) -> str:
        for name, content in files.items():
            target = f"{path}/{name}"
            self.client.workspace.mkdirs(target.rpartition("/")[0])
            raw = content.encode() if isinstance(content, str) else content
            self.client.workspace.upload(target, io.BytesIO(raw), format=ImportFormat.RAW, overwrite=True)
        return path

    def create(self, name: str, **fields: Any) -> App:
        self.client.apps.create(App(name=name, **fields), no_compute=True)
        self.client.apps.start(name)
        self.until(lambda: self.compute(name) == "ACTIVE")
        return self.client.apps.get(name)

    def compute(self, name: str) -> str:
        return str(self.client.apps.get(name).compute_status.state.value)

    def state(self, name: str) -> str:
        return str(self.client.apps.get(name).app_status.state.value)

    def deploy(self, name: str, source: str, **fields: Any) -> AppDeployment:
        wanted = AppDeployment(source_code_path=source, mode=AppDeploymentMode.SNAPSHOT, **fields)
        made = self.client.apps.deploy(name, wanted).response
        self.until(lambda: self.deployment(name, made).status.state.value != "IN_PROGRESS")
        return self.deployment(name, made)

    def deployment(self, name: str, made: AppDeployment) -> AppDeployment:
        return self.client.apps.get_deployment(name, str(made.deployment_id))

    def serve(
        self, files: dict[str, str | bytes] | None = None, name: str | None = None, **fields: Any
    ) -> App:
        name = name or self.name()
        files = files or self.web()
        source = self.upload(f"/Workspace/Shared/{name}", files)
        self.create(name, **fields)
        made = self.deploy(name, source)
        assert made.status.state.value == "SUCCEEDED", made.status.message
        return self.client.apps.get(name)

    def secret_of(self, app: App) -> str:
        state = json.loads((self.project.local / "state.json").read_text())
        return str(state["apps"][app.name]["principal"]["client_secret"])

    def as_app(self, app: App) -> WorkspaceClient:
        """A client with the app's own login."""
        client_id = str(app.service_principal_client_id)
        return client_for(self.running.url, client_id, self.secret_of(app))

    def get(self, app: App, path: str, **options: Any) -> requests.Response:
        headers = self.headers | options.pop("headers", {})
        return requests.get(
            f"{app.url}{path}", headers=headers, timeout=120, allow_redirects=False, **options
        )

    @staticmethod
    def until(condition: Callable[[], bool], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.03)


def project_in(folder: Path) -> Project:
    return Project(folder, Settings(target="local", embedded=True))


def client_for(host: str, client_id: str, client_secret: str) -> WorkspaceClient:
    return WorkspaceClient(
        config=Config(host=host, client_id=client_id, client_secret=client_secret, retry_timeout_seconds=5)
    )


def world_in(folder: Path, **options: Any) -> World:
    project = project_in(folder)
    running = local.up(project, **{"instances": True, **options})
    try:
        client = client_for(running.url, running.client_id, running.client_secret.reveal())
    except BaseException:
        local.reset(project)
        raise
    return World(project, running, client)
