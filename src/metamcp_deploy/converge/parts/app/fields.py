"""Which fields of an app differ from what is wanted, who made the difference, and the change that ends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from metamcp_deploy.plan import Difference
from metamcp_deploy.target import databases
from metamcp_deploy.target.desired import App as Wanted
from metamcp_deploy.target.variables import DATABASE_RESOURCE

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App

_POLICIES = ("budget_policy_id", "usage_policy_id", "telemetry_export_destinations")
_DATABASE = f"resources.{DATABASE_RESOURCE}"


def differences(found: App, wanted: Wanted, deployed: Mapping[str, Any]) -> tuple[Difference, ...]:
    """The fields of an app that are not as wanted.

    Args:
        found: in the workspace.
        wanted: of the target.
        deployed: content of the newest deployment record: where it says what the settings say, somebody else changed
            the workspace since.
    """
    recorded = deployed.get("desired") or {}
    made = [
        _difference("description", found.raw.get("description") or "", wanted.description, recorded),
        _difference("compute_size", found.raw.get("compute_size"), wanted.compute_size, recorded),
        *_scopes(found, wanted, recorded),
        *_enforced(found, wanted, recorded),
        *_resources(found, wanted, deployed.get("resources")),
    ]
    return tuple(d for d in made if d is not None)


def for_record(wanted: Wanted) -> dict[str, Any]:
    """What a deployment record keeps of the app, for the next comparison."""
    return {
        "description": wanted.description,
        "compute_size": wanted.compute_size,
        "user_api_scopes": list(wanted.user_api_scopes),
        **wanted.enforced,
    }


def other_space(found: App, wanted: Wanted, deployed: Mapping[str, Any]) -> str | None:
    """The space of an app that is not in the wanted one; empty for none, None where they agree.

    No API moves an app (databricks-sdk, AppUpdate has no `space`). GET may not show it: what was sent counts then.
    """
    stated, known = wanted.enforced.get("space"), (deployed.get("desired") or {}).get("space")
    there = found.raw.get("space") or known or ""
    return None if stated in (None, there) else str(there)


def _enforced(found: App, wanted: Wanted, recorded: Mapping[str, Any]) -> Iterable[Difference]:
    """What companies enforce. GET may not show what was set (only the effective policy): it is not sent again then."""
    for field, after in wanted.enforced.items():
        before, known = found.raw.get(field), recorded.get(field) == after
        if field != "space" and before != after and not (before is None and known):
            yield Difference(field, before, after, "hand" if known else "settings")


def _difference(field: str, before: Any, after: Any, recorded: Mapping[str, Any]) -> Difference | None:
    if before is None or before == after:  # a field that the platform leaves out cannot be compared
        return None
    return Difference(field, before, after, "hand" if recorded.get(field) == after else "settings")


def _scopes(found: App, wanted: Wanted, recorded: Mapping[str, Any]) -> Iterable[Difference | None]:
    """Scopes that nobody stated stay: they may be somebody's choice, or the platform's."""
    before = found.raw.get("user_api_scopes") or []
    if (wanted.user_api_scopes or recorded.get("user_api_scopes")) and set(before) != set(
        wanted.user_api_scopes
    ):
        after = list(wanted.user_api_scopes)
        yield Difference(
            "user_api_scopes",
            before,
            after,
            "hand" if recorded.get("user_api_scopes") == after else "settings",
        )


def _resources(found: App, wanted: Wanted, deployed: Any) -> Iterable[Difference]:
    present = {r["name"]: r for r in found.resources}
    before = {r["name"]: r for r in deployed or []}
    for resource in wanted.resources:
        name = resource["name"]
        if holds(present.get(name, {}), resource):
            continue
        by: Literal["hand", "settings"] = "hand" if before.get(name) == resource else "settings"
        there = described(present[name]) if name in present else None
        yield Difference(f"resources.{name}", there, described(resource), by)
    if (
        (own := present.get(DATABASE_RESOURCE))
        and (first := injected(found))
        and first["name"] != own["name"]
    ):
        behind = f"behind {first['name']} ({described(first)}), of which the app gets PGHOST and the like"
        yield Difference(_DATABASE, behind, f"the first: {described(own)}")
    for name in sorted(gone(found, wanted, before)):
        yield Difference(f"resources.{name}", described(present[name]), None)


def injected(found: App) -> dict[str, Any] | None:
    """The resource of which the platform injects PGHOST and the like: the first that is a database."""
    return next((r for r in found.resources if databases.of_resource(r)), None)


def left_behind(found: App, wanted: Wanted) -> dict[str, Any] | None:
    """The resource through which the app has another database than is wanted, where nobody here attached it."""
    first, own = injected(found), {r["name"]: r for r in wanted.resources}.get(DATABASE_RESOURCE)
    if first is None or own is None or DATABASE_RESOURCE in {r["name"] for r in found.resources}:
        return None
    return None if databases.attached([first]).identity == databases.attached([own]).identity else first


def gone(found: App, wanted: Wanted, deployed: Iterable[str]) -> set[str]:
    """Names of the resources that an earlier deployment attached and nobody wants any more."""
    return {r["name"] for r in found.resources} & set(deployed) - {r["name"] for r in wanted.resources}


def unattached(found: App, wanted: Wanted) -> list[str]:
    """Names of the wanted resources that the app does not have as they should be."""
    present = {r["name"]: r for r in found.resources}
    return [r["name"] for r in wanted.resources if not holds(present.get(r["name"], {}), r)]


def body(changed: Iterable[Difference], found: App | None, wanted: Wanted) -> dict[str, Any]:
    """Fields and new values for `Apps.update`: resources of others stay among them."""
    changed = tuple(changed)
    made: dict[str, Any] = {}
    ours = {d.field.removeprefix("resources.") for d in changed} | {r["name"] for r in wanted.resources}
    for difference in changed:
        if difference.field.startswith("resources."):
            others = [r for r in found.resources if r["name"] not in ours] if found else []
            # Ours first: of the first database the platform injects PGHOST and the like.
            made["resources"] = [*wanted.resources, *others]
        else:
            made[difference.field] = difference.after
    return made


_KEPT = (*("description", "compute_size", "user_api_scopes", "resources"), *_POLICIES)


def whole(found: App, changed: Mapping[str, Any]) -> dict[str, Any]:
    """All fields that an app had, with those that are changed."""
    return {field: found.raw[field] for field in _KEPT if found.raw.get(field)} | dict(changed)


def lost(after: App, wanted: Mapping[str, Any]) -> list[str]:
    """The fields of `whole` that a change left otherwise."""
    return [field for field, value in wanted.items() if not _kept(after.raw.get(field), value)]


def _kept(present: Any, wanted: Any) -> bool:
    if isinstance(wanted, list) and isinstance(present, list):
        return all(any(holds(one, each) for one in present) for each in wanted)
    return holds(present, wanted)


def moved(changed: Iterable[Difference]) -> str:
    """What to know where the app gets another database; empty where it does not."""
    for difference in changed:
        if difference.field == _DATABASE and difference.before is not None:
            return (
                f"it leaves the database {difference.before}, which stays with all its data, for "
                f"{difference.after or 'an external one'}, which holds none of it"
            )
    return ""


def holds(present: Any, wanted: Any) -> bool:
    """Whether what is present includes all that is wanted; the platform may say more."""
    if isinstance(wanted, dict):
        return isinstance(present, dict) and all(holds(present.get(k), v) for k, v in wanted.items())
    return bool(present == wanted)


def described(resource: Mapping[str, Any]) -> str:
    """A resource in words."""
    if database := databases.of_resource(resource):
        return database.shown
    if "secret" in resource:
        secret = resource["secret"]
        return f"secret {secret.get('scope')}/{secret.get('key')}, {secret.get('permission')}"
    return next((kind for kind in resource if kind not in ("name", "description")), "nothing")
