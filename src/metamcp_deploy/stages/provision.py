"""Makes a target's database, secrets, app and permissions so as `desired` says, and touches nothing that is right."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events
from metamcp_deploy.config.model import SecretReference, Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.stages import desired
from metamcp_deploy.stages.rollback import staying

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App

MARK = "metamcp-deploy"  # in an app's description: made by this tool
_DELETING_SECONDS = 1260.0  # the platform takes up to 20 minutes
_MADE_SECONDS = 300.0
_CHANGED_SECONDS = 600.0


def database(workspace: Workspace, settings: Settings) -> None:
    """The target's Lakebase, made where it is missing; nothing for a database that is external."""
    if settings.database.kind == "provisioned":
        _instance(workspace, settings)
    elif settings.database.kind == "autoscaling":
        _project(workspace, settings)


def _instance(workspace: Workspace, settings: Settings) -> None:
    """The instance. Its database comes with it, or is there already: no API makes one."""
    name, capacity = settings.instance_name, settings.database.capacity
    events.emit(events.Progress(f"looks at the database instance {name} (a new one takes minutes)"))
    done = workspace.instances.ensure(name, capacity)
    events.emit(events.Changed(done, "database instance", name))


def _project(workspace: Workspace, settings: Settings) -> None:
    """Project, branch, endpoint and database of Lakebase autoscaling."""
    paths, lakebase = desired.lakebase(settings), workspace.lakebase
    events.emit(events.Progress("looks at the database"))
    _told(lakebase.ensure_project(paths.project, settings.project_id), "Lakebase project", paths.project)
    _told(lakebase.ensure_branch(paths.branch), "Lakebase branch", paths.branch)
    _told(lakebase.ensure_endpoint(paths.endpoint), "Lakebase endpoint", paths.endpoint)
    made = lakebase.ensure_database(paths.database, settings.database_name, workspace.me)
    _told(made, "Lakebase database", paths.database)


def secret_values(workspace: Workspace, project: Project) -> None:
    """The scope, BETTER_AUTH_SECRET (made once, never replaced), and a look at the keys that the settings name.

    Raises:
        DeployError: CONFIG_CONFLICT, when the value given differs from the one stored; NOT_FOUND, when a key that
            the settings name is not there.
    """
    settings, scope = project.settings, project.settings.secret_scope
    there = workspace.secrets.written(scope)
    missing = settings.secret_keys - {desired.AUTH_SECRET} - set(there or ())
    _no_missing(missing, project, workspace.host)
    if there is None:
        workspace.secrets.create_scope(scope)
    _told(there is None, "secret scope", scope)
    given = project.secrets.get(desired.AUTH_SECRET)
    name = f"{scope}/{desired.AUTH_SECRET}"
    if desired.AUTH_SECRET not in (there or ()):
        value = given or Secret(secrets.token_urlsafe(48))
        workspace.secrets.put(scope, desired.AUTH_SECRET, value)
        events.emit(events.Changed("created", "secret", name))
        return
    events.emit(events.Changed("kept", "secret", name))
    if given:
        _same_secret(given, workspace.secrets.get(scope, desired.AUTH_SECRET), name)


def _same_secret(given: Secret, stored: Secret | None, name: str) -> None:
    if stored is None:
        events.emit(
            events.Warned(
                f"The secret {name} may not be read, so it was not compared with the one given here."
            )
        )
    elif stored != given:
        raise DeployError(
            Code.CONFIG_CONFLICT,
            f"{desired.AUTH_SECRET} in the environment or .env differs from the stored secret {name}. The stored "
            "one is never replaced: with another, all sessions end and what it encrypts cannot be read.",
            hint=f"Remove {desired.AUTH_SECRET} from the environment and .env.",
        )


def _no_missing(keys: Iterable[str], project: Project, host: str) -> None:
    for key in sorted(keys):
        scope = project.settings.secret_scope
        raise DeployError(
            Code.NOT_FOUND,
            f"Target {project.settings.target} uses the secret {key} (in {_uses(project.settings, key)}), which scope "
            f"{scope} of {host} does not hold.",
            hint=f"databricks secrets put-secret {scope} {key}  (make the scope first if it is new: "
            f"databricks secrets create-scope {scope})",
        )


def _uses(settings: Settings, key: str) -> str:
    """The settings that refer to a key of the scope."""
    database = {"database.url": settings.database.url, "database.password": settings.database.password}
    held = {**database, **{f"app.env.{name}": value for name, value in settings.app.env.items()}}
    return ", ".join(n for n, v in held.items() if isinstance(v, SecretReference) and v.secret == key)


def app(workspace: Workspace, settings: Settings, root: str) -> App:
    """The app, made without compute or changed where it differs; resources and settings of others stay.

    Raises:
        DeployError: ALREADY_EXISTS, when an app of that name belongs to somebody else.
    """
    name, wanted = settings.app.name, desired.app_resources(settings)
    events.emit(events.Progress(f"looks at the app {name}"))
    found = _not_deleting(workspace, name)
    if found is None:
        body = {
            "description": f"MetaMCP, deployed by {MARK} (target {settings.target})",
            "compute_size": settings.app.compute_size,
            "resources": wanted,
        }
        if _created(workspace, name, body):
            return _whole(workspace, name)
        found = workspace.apps.get(name)  # somebody was faster, or an earlier answer was lost
    _is_ours(found, root, workspace.me, workspace.host)
    _one_instance(found, settings)
    staying.hold(workspace, root, found, wanted, settings.target)
    changes = _differences(found, settings, wanted)
    if changes:
        workspace.apps.update(name, changes)
        _changed(workspace, name)
        events.emit(events.Changed("changed", "app", f"{name} ({', '.join(sorted(changes))})"))
    return _whole(workspace, name)


def _created(workspace: Workspace, name: str, body: Mapping[str, Any]) -> bool:
    try:
        workspace.apps.create(name, body)
    except DeployError as e:
        if e.code is Code.ALREADY_EXISTS:
            return False
        raise
    events.emit(events.Changed("created", "app", name))
    return True


def _not_deleting(workspace: Workspace, name: str) -> App | None:
    """The app, or None; one that is being deleted is waited for."""
    from metamcp_deploy.workspace import poll

    found = workspace.apps.find(name)
    if found is None or found.compute != "DELETING":
        return found
    events.emit(events.Progress(f"waits for the app {name} to be gone (it is DELETING, up to 20 minutes)"))

    def look() -> tuple[App | None] | None:
        seen = workspace.apps.find(name)
        return None if seen is not None and seen.compute == "DELETING" else (seen,)

    return poll(
        look,
        what=f"the app {name} to be gone (it is DELETING)",
        within=_DELETING_SECONDS,
        hint="Run the same command again later, or choose another app.name.",
        clock=workspace.clock,
        longest=10.0,
    )[0]


def _is_ours(found: App, root: str, me: str, host: str) -> None:
    """Adopts what this tool or this user made; anything else is not touched."""
    source = str(found.raw.get("default_source_code_path") or "")
    if MARK in str(found.raw.get("description") or "") or source.startswith(root + "/"):
        return
    creator = found.raw.get("creator")
    if creator == me:
        events.emit(events.Note(f"Adopts the app {found.name}, which you made earlier."))
        return
    raise DeployError(
        Code.ALREADY_EXISTS,
        f"There is an app {found.name} in {host} already, made by {creator or 'somebody else'} and not by this tool.",
        hint=f"Choose another app.name. To hand that app over to this tool, write “{MARK}” into its description.",
    )


def _one_instance(found: App, settings: Settings) -> None:
    """MetaMCP's sessions live in memory: a second instance does not know those of the first."""
    count = found.raw.get("compute_max_instances")
    if not isinstance(count, int) or count <= 1 or settings.app.allow_instances:
        return
    raise DeployError(
        Code.CONFIG_CONFLICT,
        f"The app {found.name} is scaled to up to {count} instances. MetaMCP keeps its sessions in the memory of "
        "one, so a client's next request may meet an instance that does not know it.",
        hint="Scale the app to one instance in the workspace, or accept it with `app.allow_instances: true`.",
    )


def _differences(found: App, settings: Settings, wanted: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of the app to change, with their new values."""
    changes: dict[str, Any] = {}
    present = {r["name"]: r for r in found.resources}
    if any(not _holds(present.get(r["name"], {}), r) for r in wanted):
        ours = {r["name"] for r in wanted}
        changes["resources"] = [r for r in found.resources if r["name"] not in ours] + wanted
    size = found.raw.get("compute_size")
    if size and size != settings.app.compute_size:
        changes["compute_size"] = settings.app.compute_size
    if not changes:
        events.emit(events.Changed("kept", "app", found.name))
    return changes


def _holds(present: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there; the platform may say more."""
    if isinstance(wanted, dict):
        return isinstance(present, dict) and all(_holds(present.get(k), v) for k, v in wanted.items())
    return bool(present == wanted)


def _changed(workspace: Workspace, name: str) -> None:
    from metamcp_deploy.workspace import poll

    def look() -> tuple[str, str] | None:
        state = workspace.apps.update_state(name)
        return None if state[0] == "IN_PROGRESS" else state

    state, message = poll(
        look,
        what=f"the change of app {name}",
        within=_CHANGED_SECONDS,
        hint="Run the same command again: it goes on from there.",
        clock=workspace.clock,
    )
    if state == "FAILED":
        raise DeployError(
            Code.REQUEST_REFUSED,
            f"The app {name} could not be changed: {message or 'the platform does not say why'}.",
            hint="Check app and database of the target: metamcp-deploy config show --origin",
        )


def _whole(workspace: Workspace, name: str) -> App:
    """The app once it has its URL and its principal."""
    from metamcp_deploy.workspace import poll

    def look() -> App | None:
        seen = workspace.apps.get(name)
        return seen if seen.url and seen.principal else None

    return poll(
        look,
        what=f"the app {name} to get its URL and its principal",
        within=_MADE_SECONDS,
        hint="Run the same command again: it goes on from there.",
        clock=workspace.clock,
    )


def permissions(workspace: Workspace, settings: Settings) -> None:
    """Adds the grants that are missing. Grants of others stay, and nobody's higher level is lowered."""
    if not settings.app.permissions:
        return
    granted = workspace.permissions.granted("apps", settings.app.name)
    missing: list[dict[str, str]] = []
    for permission in settings.app.permissions:
        who = {k: v for k, v in permission.model_dump(exclude={"level"}).items() if v}
        kind, person = next(iter(who.items()))
        if granted.get((kind, person), set()) & {permission.level, "CAN_MANAGE", "IS_OWNER"}:
            events.emit(events.Changed("kept", "permission", f"{permission.level} for {person}"))
        else:
            missing.append({**who, "permission_level": permission.level})
    if missing:
        workspace.permissions.grant("apps", settings.app.name, missing)
    for entry in missing:
        person = next(v for k, v in entry.items() if k != "permission_level")
        events.emit(events.Changed("created", "permission", f"{entry['permission_level']} for {person}"))


def _told(made: bool, kind: str, name: str) -> None:
    events.emit(events.Changed("created" if made else "kept", kind, name))
