"""databricks.yml: rendered from the settings of every target, for the official command line and for deployments.

The settings are the truth. A user's template can add to them, and a deployment makes what it adds, too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from metamcp_deploy import pipeline, resources
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import databases, desired, template_additions
from metamcp_deploy.target.desired import Desired
from metamcp_deploy.target.environment import environment
from metamcp_deploy.target.rendering import PLACEHOLDER, block, granted, invalid, parsed
from metamcp_deploy.target.site import root

TEMPLATE = "bundle/databricks.yml"
FILE = "databricks.yml"  # in the bundle
# What the official command line resolves itself. app.yaml is never interpolated by anybody.
_REFERENCE = re.compile(r"^\$\{(var|resources|workspace|bundle)\.[A-Za-z0-9_.-]+\}$")
_USER = "${workspace.current_user.userName}"
_NO_HOST = "https://embedded.invalid"


def read(project: Project, me: str) -> Desired:
    """How the target should be, where `build` has written the file by the settings of now.

    Args:
        project: with the target's settings.
        me: the login's user name, of whom a root may be.

    Raises:
        DeployError: STAGE_MISSING without the file, or with one of other settings; as `current`.
    """
    path, expected = project.bundle / FILE, text(project)
    try:
        written = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise _stale(project, f"There is no {path}.") from None
    if written != expected:
        raise _stale(project, f"{path} is not what the settings of target {project.settings.target} say now.")
    return _extended(project, me, expected)


def current(project: Project, me: str) -> Desired:
    """How the target should be, as `build` would write it now: for plans, which need no bundle.

    Raises:
        DeployError: BUNDLE_INVALID, and those of rendering.
    """
    return _extended(project, me, text(project))


def _extended(project: Project, me: str, rendered: str) -> Desired:
    stated, folder = desired.of(project.settings, root(project.settings, me)), project.settings.templates
    if folder is None or not (folder / TEMPLATE).is_file():
        return stated
    texts = (_rendered(project, None), rendered)
    ours, theirs = (parsed(TEMPLATE, t, _REFERENCE)["targets"][project.settings.target] for t in texts)
    return template_additions.added(stated, ours, theirs, me)


def text(project: Project) -> str:
    """The text of the file, with every target of the configuration.

    Raises:
        DeployError: TEMPLATE_INVALID, BUNDLE_INVALID, or CONFIG_INVALID for values that cannot be rendered.
    """
    made = _rendered(project, project.settings.templates)
    document = parsed(TEMPLATE, made, _REFERENCE)
    targets, expected = set(document.get("targets") or {}), {s.target for s in _targets(project)}
    if targets != expected:
        raise invalid(TEMPLATE, f"it holds the targets {sorted(targets)}; expected {sorted(expected)}")
    return made


def _rendered(project: Project, templates: Path | None) -> str:
    targets = _targets(project)
    for settings in targets:
        _check_values(settings)
    return resources.render(TEMPLATE, {"targets": [_values(s) for s in targets]}, templates)


def _targets(project: Project) -> tuple[Settings, ...]:
    return project.all_targets or (project.settings,)


def _values(settings: Settings) -> dict[str, Any]:
    """What the template gets of a target.

    An embedded one has a host that no login can be for (RFC 6761): the official command line would otherwise deploy it
    to whatever workspace the caller's login happens to name.
    """
    place = root(settings, _USER)
    wanted = desired.of(settings, place)
    app, database, scope = wanted.app, wanted.database, wanted.secrets
    sections: dict[str, Any] = {kind.section: None for kind in databases.KINDS if kind.section}
    if database.managed:
        sections[database.section] = database.rendered()
    return {
        "name": settings.target,
        "host": _NO_HOST if settings.embedded else settings.workspace.host,
        "root_path": place,
        "protected": settings.protected,
        "resources": app.managed or scope.managed or database.managed,
        **sections,
        "scope": block({"name": scope.scope, **granted(scope.permissions)}) if scope.managed else None,
        "app": _app(wanted) if app.managed else None,
        "env": block([v.as_dict() for v in app.env]),
    }


def _app(wanted: Desired) -> str:
    app = wanted.app
    return block(
        {
            "name": app.name,
            "description": app.description,
            "compute_size": app.compute_size,
            **app.enforced,
            **({"user_api_scopes": list(app.user_api_scopes)} if app.user_api_scopes else {}),
            "resources": [_resource(r, wanted) for r in app.resources],
            **granted(app.permissions),
        }
    )


def _resource(resource: dict[str, Any], wanted: Desired) -> dict[str, Any]:
    """References instead of literal names where the bundle makes the thing itself: only they order the deployment."""
    references = (
        {"secret": {"scope": "${resources.secret_scopes.secrets.name}"}} if wanted.secrets.managed else {}
    )
    if wanted.database.managed:
        references |= wanted.database.references
    return {k: {**v, **references.get(k, {})} if isinstance(v, dict) else v for k, v in resource.items()}


def _check_values(settings: Settings) -> None:
    for variable in environment(settings, None):
        if variable.value is not None and (found := PLACEHOLDER.search(variable.value)):
            raise DeployError(
                Code.CONFIG_INVALID,
                f"app.env.{variable.name} of target {settings.target} holds {found.group()!r}; "
                "the platform does not expand it, the app would see that literal text.",
                hint=f"Write the value itself, or `{{secret: KEY}}` for a secret, in app.env.{variable.name}.",
            )


def _stale(project: Project, what: str) -> DeployError:
    target = project.settings.target
    built = pipeline.recorded(project.state, "build")
    if built and "archive" in built["fingerprint"]:
        hint = f"Give the file that the bundle came from again: metamcp-deploy deploy -t {target} --from FILE"
        return DeployError(Code.STAGE_MISSING, what, hint=hint)
    return DeployError(
        Code.STAGE_MISSING,
        what,
        hint=f"Run `metamcp-deploy build -t {target}` (seconds, when only settings changed), or `metamcp-deploy deploy "
        f"-t {target}`, which does it by itself.",
    )
