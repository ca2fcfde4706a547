"""What the predecessor left: its folder's files, and the app and instance of each of its targets in the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamcp_deploy.config import predecessor, sources
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.problems import DOTENV
from metamcp_deploy.config.project import Project
from metamcp_deploy.converge import second_owner
from metamcp_deploy.converge.parts.app import fields
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import databases, session

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App

BUNDLE_FILE = "databricks.yml"
# The Makefile's targets, its default first.
TARGETS = ("prod", predecessor.DEV)
# Begins a line of `.env` that went to metamcp.yaml: read again by another `init --from-predecessor --force`.
MOVED = "#moved: "


@dataclass(frozen=True)
class Bundle:
    """What its databricks.yml says.

    Attributes:
        name: of the bundle, a part of the path of its state.
        keys: of the app and the instance below `resources`.
        others: kinds of resources that this tool does not deploy.
        permissions: grants on the app.
    """

    name: str = "metamcp"
    keys: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    permissions: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class Deployed:
    """One of its targets.

    Attributes:
        target: prod or dev.
        names: variable → name, as the Makefile derived it.
        app: as it is; None without one.
        database: the section `database` that keeps what it uses; None where there is neither app nor instance.
        scope: the secret scope that holds the database's URL; None where no URL is used.
        state: path of the official command line's state that manages it; None without one.
    """

    target: str
    names: Mapping[str, str]
    app: App | None
    database: dict[str, Any] | None
    scope: str | None = None
    state: str | None = None


@dataclass(frozen=True)
class Found:
    """All of it."""

    folder: Path
    text: str
    variables: sources.Variables
    bundle: Bundle
    host: str
    me: str
    deployed: tuple[Deployed, ...]


def look(folder: Path, profile: str | None) -> Found:
    """Reads the files and looks into the workspace; changes nothing.

    Args:
        folder: of the predecessor.
        profile: of `-p`, in place of the one in `.env`.

    Raises:
        DeployError: NOT_FOUND without its files, or where the workspace has none of its apps and instances;
            CONFIG_INVALID for lines that cannot be read; those of the login.
    """
    path = folder / DOTENV
    if not (path.is_file() or (folder / BUNDLE_FILE).is_file()):
        raise DeployError(
            Code.NOT_FOUND,
            f"{folder} has neither {DOTENV} nor {BUNDLE_FILE} of the predecessor.",
            hint="Name its folder: metamcp-deploy init --from-predecessor FOLDER",
        )
    text = sources.text_of(path) if path.is_file() else ""
    variables = sources.parsed(path, text.replace(MOVED, ""))
    named = profile or (
        variables["DATABRICKS_CONFIG_PROFILE"].value if "DATABRICKS_CONFIG_PROFILE" in variables else None
    )
    place = {"profile": named} if named else {}
    workspace = session.connect(
        Project(folder, Settings.model_validate({"target": "prod", "workspace": place}))
    )
    bundle = _bundle(folder / BUNDLE_FILE)
    deployed = tuple(_deployed(workspace, bundle, target, variables) for target in TARGETS)
    if not any(one.database for one in deployed):
        names = deployed[0].names
        raise DeployError(
            Code.NOT_FOUND,
            f"{workspace.host} has no app {names['APP_NAME']} and no instance "
            f"{names['LAKEBASE_INSTANCE_NAME']}, nor those of dev.",
            hint="Name the profile of the workspace with -p, or begin anew: metamcp-deploy init",
        )
    return Found(folder, text, variables, bundle, workspace.host, workspace.me, deployed)


def _bundle(path: Path) -> Bundle:
    import yaml

    try:
        read = yaml.safe_load(sources.text_of(path)) if path.is_file() else {}
    except yaml.YAMLError as e:
        raise DeployError(
            Code.CONFIG_INVALID, f"{path} is not YAML.", hint=f"Correct {path}.", detail=str(e)
        ) from None
    document = read if isinstance(read, dict) else {}
    resources = document.get("resources") or {}
    ours = {kind: resources.get(kind) or {} for kind in ("apps", "database_instances")}
    grants = [grant for app in ours["apps"].values() for grant in app.get("permissions") or []]
    return Bundle(
        str((document.get("bundle") or {}).get("name") or "metamcp"),
        tuple(key for group in ours.values() for key in group),
        tuple(sorted(set(resources) - set(ours))),
        tuple(grants),
    )


def _deployed(workspace: Workspace, bundle: Bundle, target: str, variables: sources.Variables) -> Deployed:
    stated = {
        name: variables[name].value if name in variables else default
        for name, (default, _) in predecessor.NAMES.items()
    }
    names = {name: predecessor.named(name, base.strip(), target) for name, base in stated.items()}
    app = workspace.apps.find(names["APP_NAME"])
    database, scope = _database(workspace, app, names)
    folder = f"/Workspace/Users/{workspace.me}/.bundle/{bundle.name}/{target}/state"
    states = sorted({*workspace.files.entries(folder)} & {*second_owner.STATES}) if database else []
    return Deployed(target, names, app, database, scope, f"{folder}/{states[0]}" if states else None)


def _database(
    workspace: Workspace, app: App | None, names: Mapping[str, str]
) -> tuple[dict[str, Any] | None, str | None]:
    """The section `database`, by what the app is given; without an app by the names, where the instance is there."""
    resource = fields.injected(app) if app else None
    attached = databases.of_resource(resource) if resource else None
    if isinstance(attached, databases.Provisioned):
        return {"kind": "provisioned", "instance": attached.name, "name": attached.database}, None
    if isinstance(attached, databases.Autoscaling):
        known = (workspace.lakebase.find(attached.database) or {}).get("status") or {}
        name = known.get("postgres_database") or attached.database.rsplit("/", 1)[1]
        project, branch = (attached.branch.split("/")[n] for n in (1, 3))
        return {"project": project, "branch": branch, "name": name}, None
    secret = (
        next((r["secret"] for r in app.resources if r["name"] == "pg-url" and "secret" in r), None)
        if app
        else None
    )
    if secret:
        return {"kind": "external", "url": {"secret": secret["key"]}}, str(secret["scope"])
    instance = names["LAKEBASE_INSTANCE_NAME"]
    if workspace.instances.find(instance) is not None:
        return {"kind": "provisioned", "instance": instance, "name": names["LAKEBASE_DATABASE_NAME"]}, None
    return ({} if app else None), None
