"""Rules between keys, between targets, between file and environment, and of protected targets."""

from __future__ import annotations

import re
from collections.abc import Sequence

from metamcp_deploy.config import hosts, layout
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.problems import FILE, Origin, Problem, failure, masked
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import SIGNING_KEY
from metamcp_deploy.config.tree import Node, at, leaves, nearest
from metamcp_deploy.errors import Code, DeployError

LOCKED_OUT_HINT = "Add your address to app.operators in metamcp.yaml, or set app.sign_up."
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


def of_target(settings: Settings, stated: Node | None, merged: Node) -> list[Problem]:
    """Problems of one target as the file states it.

    Args:
        settings: of the target, from the file alone.
        stated: the target's own section.
        merged: the section laid over the top of the file.
    """
    problems = []
    own = stated.origin if stated else merged.origin
    if settings.embedded:
        for key in ("host", "profile", "id"):
            if node := at(stated, ["workspace", key]):
                text = "an embedded target has no other workspace than the one on this machine."
                if settings.target == "local":
                    text += " For a real workspace called `local`, say `embedded: false`."
                problems.append(Problem(node.origin, text))
    if settings.protected and not settings.workspace.root_path:
        text = "a protected target needs `workspace.root_path`, so that everybody shares one lock and one history."
        problems.append(Problem((at(stated, ["protected"]) or Node(None, own)).origin, text))
    upstream = settings.upstream
    if upstream.commit and _COMMIT.match(upstream.ref) and upstream.ref != upstream.commit:
        where = nearest(merged, ["upstream", "commit"]).origin
        problems.append(Problem(where, f"is another commit than `ref`, {upstream.ref}. Keep one of them."))
    return problems


def of_settings(settings: Settings, tree: Node) -> list[Problem]:
    """Problems of settings whose values are valid one by one; `tree` is what they were made of."""
    wrong = settings.database.problems()
    database = [Problem(nearest(tree, ["database", *key.split(".")]).origin, text) for key, text in wrong]
    return [*database, *_secret_names(settings, tree), *_not_the_signing_key(settings, tree)]


def _secret_names(settings: Settings, tree: Node) -> list[Problem]:
    """Two secrets for which the app's resources would have one name: it is in lower case, with - for _ and ."""
    seen: dict[str, str] = {}
    for key in sorted(settings.secret_keys):
        other = seen.setdefault(re.sub(r"[_.]", "-", key.lower()), key)
        if other != key:
            text = f"the secrets `{other}` and `{key}` differ too little."
            return [Problem(nearest(tree, ["app", "env"]).origin, text)]
    return []


def _not_the_signing_key(settings: Settings, tree: Node) -> list[Problem]:
    """Whatever the settings name is attached to the app, which could sign with this one; case does not count."""
    uses = [*settings.secret_uses, ("secrets.better_auth_secret", settings.secrets.better_auth_secret)]
    text = (
        f"`{SIGNING_KEY}` signs records and the ledger: the app could read it, and sign as a deployment does. Name a "
        "secret of its own."
    )
    return [
        Problem(nearest(tree, where.split(".")).origin, text)
        for where, key in uses
        if key.casefold() == SIGNING_KEY
    ]


def between_targets(targets: Sequence[tuple[Settings, Origin]]) -> list[Problem]:
    """Targets of one workspace that would overwrite each other's things, those that others manage aside."""
    problems = []
    seen: dict[tuple[str, ...], Settings] = {}
    for settings, origin in targets:
        where = _workspace(settings)
        if not where:
            continue
        for kind, name, key in _own(settings):
            first = seen.setdefault((where, kind, name), settings)
            follows = name == settings.app.name == first.app.name and kind == "secret scope"
            if first is not settings and not follows:
                text = f"is the same {kind} `{name}` in {where} as target `{first.target}`; give it another `{key}`."
                problems.append(Problem(origin, text))
    return problems


def _workspace(settings: Settings) -> str | None:
    if settings.embedded:
        return "the embedded workspace"
    return settings.workspace.host or settings.workspace.profile


def _own(settings: Settings) -> list[tuple[str, str, str]]:
    """Things that a target shares with no other: kind, name and the key that names it."""
    things = [("app", settings.app.name, "app.name")]
    if database := settings.database.identity(settings.app.name, settings.secret_scope):
        things.append(("database", *database))
    if settings.secrets.managed:
        things.append(("secret scope", settings.secret_scope, "secrets.scope"))
    if root := settings.workspace.root_path:
        things.append(("folder", root, "workspace.root_path"))
    return things


def hold(settings: Settings, stated: Node | None, outer: Node, merged: Node) -> None:
    """Holds variables and flags against what the file says about a target.

    Args:
        settings: the target's settings from the file alone.
        stated: the target's own section.
        outer: what `.env`, the environment and flags say, the strongest on top.
        merged: the target over the top of the file.

    Raises:
        DeployError: CONFIG_CONFLICT, when a variable differs from what identifies the target; TARGET_PROTECTED, when
            a protected target is given anything that its file does not say.
    """
    conflicts, refused = [], []
    for path, node in leaves(outer):
        key, origin = ".".join(map(str, path)), node.origin
        setting = layout.setting(key)
        there = at(merged, path)
        same = there is not None and not _differ(key, there, node)
        # For a protected target the top of the file counts as its own.
        own = there if settings.protected else at(stated, path)
        if origin.kind != "flag" and setting.identity and own and own.value is not None and not same:
            text = f"says `{masked(str(node.value))}`, but {own.origin} says `{masked(str(own.value))}`."
            conflicts.append(Problem(origin, text))
        elif settings.protected and not setting.personal and (not same or origin.name == "--set"):
            text = f"target `{settings.target}` is protected and takes its settings from the committed {FILE} alone."
            refused.append(Problem(origin, text))
    if conflicts:
        first = conflicts[0].origin
        where = "Unset" if first.kind == "environment" else "Remove"
        hint = f"{where} {first.name}, or name the target it belongs to with -t."
        raise failure([*conflicts, *refused], Code.CONFIG_CONFLICT, hint)
    if refused:
        hint = f"Commit the change to {FILE} instead, without {refused[0].origin}."
        raise failure(refused, Code.TARGET_PROTECTED, hint)


def _differ(key: str, one: Node, other: Node) -> bool:
    if key != "workspace.host":
        return one.value != other.value
    try:
        return hosts.origin(str(one.value)) != hosts.origin(str(other.value))
    except ValueError:
        return True


def guard(project: Project, kind: str | None = None) -> None:
    """Refuses to write to a protected target while its pin can move.

    Args:
        project: of the target that is about to be written to.
        kind: of the pin, as `prepare` recorded it: tag, branch or commit; None before that.

    Raises:
        DeployError: TARGET_PROTECTED.
    """
    settings = project.settings
    if not settings.protected:
        return
    if kind == "branch":
        raise DeployError(
            Code.TARGET_PROTECTED,
            f"Target `{settings.target}` is protected and upstream.ref `{settings.upstream.ref}` is a branch.",
            hint=f"Name a tag or a full commit as upstream.ref in {project.folder / FILE}.",
        )
    if kind is None and (text := unlocked(settings)):
        raise DeployError(
            Code.TARGET_PROTECTED,
            text,
            hint=f"Add the commit that `metamcp-deploy prepare` prints as upstream.commit to {project.folder / FILE}.",
        )


def unlocked(settings: Settings) -> str | None:
    """Why a protected target's pin could move; None when it is a full commit or locked by one."""
    upstream = settings.upstream
    if not settings.protected or upstream.commit or re.fullmatch(r"[0-9a-f]{40}", upstream.ref):
        return None
    return (
        f"Target `{settings.target}` is protected, but only the name `{upstream.ref}` pins the upstream: "
        "upstream.commit is not set."
    )


def locked_out(settings: Settings) -> str | None:
    """Why nobody could make an account on a fresh deployment; None when somebody can."""
    app = settings.app
    if settings.sign_up != "operators" or app.operators or "OIDC_CLIENT_ID" in app.env:
        return None
    return f"Nobody can sign up on target `{settings.target}`: app.sign_up is `operators`, and app.operators is empty."
