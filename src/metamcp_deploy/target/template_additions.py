"""What a user's template adds to databricks.yml: deployed beside what the settings say, and never in place of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from metamcp_deploy.config.constraints import MARK_TAG
from metamcp_deploy.config.secret import SIGNING_KEY
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target.desired import App, Desired, Secrets
from metamcp_deploy.target.variables import EnvVar

_REFERENCE = re.compile(r"\$\{resources\.([a-z_]+)\.([A-Za-z0-9_-]+)\.([a-z_]+)\}")
_ME = "${workspace.current_user.userName}"
# What only the official command line reads, and a template may change.
_UNREAD = {"prevent_destroy", "replace_existing", "no_expiry", "source_code_path", "command"}
_OF_APP = {"user_api_scopes", "resources", "permissions", "config", "lifecycle"}  # may get more


def added(stated: Desired, ours: Mapping[str, Any], theirs: Mapping[str, Any], me: str) -> Desired:
    """How the target should be, with what its section of databricks.yml adds.

    Args:
        stated: how the settings want it.
        ours: the section as the package's own template renders it.
        theirs: the section as the user's template renders it.
        me: the login's user name, of whom a root may be.

    Raises:
        DeployError: BUNDLE_INVALID, where the template asks for what this tool does not make, or says something else
            than the settings.
    """
    known, asked = _Section(ours, me), _Section(theirs, me)
    _leaves_ours(asked)
    _more(known.resolved(ours["workspace"]), asked.resolved(theirs.get("workspace") or {}), "workspace")
    found: dict[str, dict[str, Any]] = {}
    for group, key, thing in asked.things():
        where, ours_of_it = f"resources.{group}.{key}", known.groups.get(group, {}).get(key)
        if ours_of_it is None:
            raise _invalid(
                f"{where} is nothing that this tool makes",
                "Deploy it with a bundle of its own, and the official command line.",
            )
        found[group] = _more(known.resolved(ours_of_it), asked.resolved(thing), where) or {}
    app = _app(stated.app, found.get("apps", {}))
    return replace(
        stated,
        app=app,
        database=stated.database.extended(found),
        secrets=_secrets(stated.secrets, found.get("secret_scopes", {}), app),
    )


def _leaves_ours(asked: _Section) -> None:
    """Refuses the key that signs records for the app, and the tag that marks what a target made."""
    for group, key, thing in asked.things():
        fields = thing or {}
        secrets = (r.get("secret") or {} for r in fields.get("resources") or ())
        if any(str(secret.get("key")).casefold() == SIGNING_KEY for secret in secrets):
            why = f"resources.{group}.{key} names the secret {SIGNING_KEY}, with which the app could sign records"
            raise _invalid(why, "Name another secret.")
        if any(str(tag.get("key")).casefold() == MARK_TAG for tag in fields.get("custom_tags") or ()):
            why = f"resources.{group}.{key} sets the tag {MARK_TAG}, by which this tool knows what it made"
            raise _invalid(why, "Leave it out.")


def _more(ours: Any, theirs: Any, where: str) -> Any:
    """What `theirs` has and `ours` has not; None for nothing. A named item of a list that has more is given whole."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = {
            key: _more(ours[key], value, f"{where}.{key}") if key in ours else value
            for key, value in theirs.items()
            if key not in _UNREAD
        }
        return {key: value for key, value in found.items() if value not in (None, {}, [])} or None
    if isinstance(ours, list) and isinstance(theirs, list):
        named = {item["name"]: item for item in ours if isinstance(item, dict) and "name" in item}
        new = [item for item in theirs if item not in ours]
        for item in new:
            name = item.get("name") if isinstance(item, dict) else None
            if name in named:
                _more(named[name], item, f"{where}.{name}")
        return new
    if ours != theirs:
        raise _invalid(f"{where} is {theirs}, and the settings say {ours}", "State it in metamcp.yaml.")
    return None


def _app(stated: App, more: Mapping[str, Any]) -> App:
    if extra := sorted(set(more) - _OF_APP):
        raise _invalid(f"the app's field {extra[0]} is nothing that this tool sets", "Leave it out.")
    env = {v.name: v for v in (*stated.env, *(EnvVar(**e) for e in more.get("config", {}).get("env", ())))}
    resources = {r["name"]: r for r in (*stated.resources, *more.get("resources", ()))}
    return replace(
        stated,
        resources=tuple(resources.values()),
        env=tuple(env.values()),
        permissions=(*stated.permissions, *more.get("permissions", ())),
        user_api_scopes=(*stated.user_api_scopes, *more.get("user_api_scopes", ())),
    )


def _secrets(stated: Secrets, more: Mapping[str, Any], app: App) -> Secrets:
    keys = stated.keys | {r["secret"]["key"] for r in app.resources if "secret" in r}
    return replace(stated, keys=keys, permissions=(*stated.permissions, *more.get("permissions", ())))


class _Section:
    """A target's section, with what the official command line puts for its references."""

    def __init__(self, section: Mapping[str, Any], me: str) -> None:
        self.groups: Mapping[str, Any] = section.get("resources") or {}
        self.me = me

    def things(self) -> Iterator[tuple[str, str, Any]]:
        """Group, key and fields of all resources."""
        for group, things in self.groups.items():
            yield from ((group, key, thing) for key, thing in (things or {}).items())

    def resolved(self, value: Any) -> Any:
        """A value of the section.

        Raises:
            DeployError: BUNDLE_INVALID, for a reference to what is not in it.
        """
        if isinstance(value, dict):
            return {k: self.resolved(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.resolved(v) for v in value]
        if not isinstance(value, str):
            return value
        return _REFERENCE.sub(lambda match: self._referred(*match.groups()), value.replace(_ME, self.me))

    def _referred(self, group: str, key: str, field: str) -> str:
        thing = self.groups.get(group, {}).get(key)
        if thing is None:
            raise _invalid(
                f"it refers to resources.{group}.{key}, which is not in it", "Correct the template."
            )
        if field != "id":
            return str(self.resolved(thing[field]))
        collection = group.removeprefix("postgres_")
        singular = {"branches": "branch"}.get(collection, collection[:-1])
        parent = f"{self.resolved(thing['parent'])}/" if "parent" in thing else ""
        return f"{parent}{collection}/{thing[f'{singular}_id']}"


def _invalid(problem: str, hint: str) -> DeployError:
    return DeployError(
        Code.BUNDLE_INVALID,
        f"templates/bundle/databricks.yml asks for what cannot be: {problem}.",
        hint=hint,
    )
