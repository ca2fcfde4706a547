"""app.yaml, which starts the app: the same for every target."""

from __future__ import annotations

from metamcp_deploy import resources
from metamcp_deploy.config.project import Project
from metamcp_deploy.target.rendering import invalid, parsed

TEMPLATE = "bundle/app/app.yaml"


def text(project: Project) -> str:
    """The file's text.

    Raises:
        DeployError: TEMPLATE_INVALID, or BUNDLE_INVALID naming what is wrong in it.
    """
    rendered = resources.render(TEMPLATE, {}, project.settings.templates)
    document = parsed(TEMPLATE, rendered)
    command = document.get("command")
    if not (isinstance(command, list) and command and all(isinstance(w, str) for w in command)):
        raise invalid(TEMPLATE, f"`command` is {command!r}; expected a list of words")
    if extra := sorted(set(document) - {"command", "env"}):
        raise invalid(TEMPLATE, f"`{extra[0]}` is no key of app.yaml; expected `command` and `env`")
    for variable in document.get("env") or []:
        if not isinstance(variable, dict) or set(variable) not in ({"name", "value"}, {"name", "valueFrom"}):
            raise invalid(TEMPLATE, f"env entry {variable!r}; expected `name` with `value` or `valueFrom`")
        if not all(isinstance(v, str) for v in variable.values()):
            raise invalid(TEMPLATE, f"env entry {variable!r} holds something else than texts; quote it")
    return rendered
