"""What the predecessor left in a workspace and in a folder, written by us after its bundle: same names, same shapes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from metamcp_deploy import local
from metamcp_deploy.config.project import Project
from metamcp_deploy.target import session
from metamcp_deploy.workspace import Workspace

DESCRIPTION = "Control plane for MCP"
BUNDLE = """\
bundle:
  name: metamcp
resources:
  database_instances:
    metamcp_lakebase: {name: "${var.lakebase_instance_name}", capacity: CU_1}
  apps:
    metamcp_app:
      name: ${var.app_name}
      source_code_path: build/metamcp
      resources:
        - name: lakebase
          database:
            instance_name: ${var.lakebase_instance_name}
            database_name: ${var.lakebase_database_name}
            permission: CAN_CONNECT_AND_CREATE
targets:
  dev: {mode: development}
  prod: {mode: production, default: true}
"""


@dataclass(frozen=True)
class Predecessor:
    """An app with its instance, and the names that `.env` gives them."""

    app: str
    instance: str
    database: str

    @classmethod
    def of(cls, project: Project) -> Predecessor:
        """Names of the test's own."""
        app = project.settings.app.name
        return cls(app, f"{app}-lakebase", f"{app}_db".replace("-", "_"))

    @property
    def resource(self) -> dict[str, object]:
        """The app's resource."""
        named = {"instance_name": self.instance, "database_name": self.database}
        return {"name": "lakebase", "database": {**named, "permission": "CAN_CONNECT_AND_CREATE"}}

    def make(self, project: Project, capacity: str = "CU_1") -> Workspace:
        """Makes instance, database and app, as `databricks bundle deploy` did."""
        workspace = session.connect(project)
        workspace.instances.create(self.instance, {"capacity": capacity})
        workspace.instances.available(name=self.instance, within=60)
        uri = local.status(project, with_credentials=True)["superuser_uris"]["postgres"].reveal()
        with psycopg.connect(uri, autocommit=True) as database:
            database.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.database)))
        workspace.apps.create(self.app, {"description": DESCRIPTION, "resources": [self.resource]})
        return workspace

    def state(self, workspace: Workspace, root: str) -> str:
        """Writes the state of `databricks bundle deploy` to a root, and gives its path."""
        resources = [
            {
                "type": "databricks_app",
                "name": "metamcp_app",
                "instances": [{"attributes": {"name": self.app}}],
            },
            {
                "type": "databricks_database_instance",
                "name": "metamcp_lakebase",
                "instances": [{"attributes": {"name": self.instance}}],
            },
        ]
        workspace.files.make_folder(f"{root}/state")
        path = f"{root}/state/terraform.tfstate"
        workspace.files.write(path, json.dumps({"version": 4, "resources": resources}).encode())
        return path

    def folder(self, folder: Path, more: str = "") -> Path:
        """Its repository's files that hold settings."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "databricks.yml").write_text(BUNDLE)
        (folder / ".env").write_text(
            f"METAMCP_REPO_URL=https://github.com/metatool-ai/metamcp.git\nMETAMCP_REF=v2.4.20\nAPP_NAME={self.app}\n"
            f"LAKEBASE_INSTANCE_NAME={self.instance}\nLAKEBASE_DATABASE_NAME={self.database}\n"
            f"BETTER_AUTH_SECRET=change-me-before-production\n{more}"
        )
        return folder
