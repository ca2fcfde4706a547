"""Which keys of `database` go with which kind, and what a kind needs."""

from __future__ import annotations

from metamcp_deploy.config.model import DEFAULT_KIND, NEW_MAX_CU, NEW_MIN_CU, Settings
from metamcp_deploy.config.origin import Problem
from metamcp_deploy.config.tree import Node, at, leaves, nearest, without

# `schema` and `password` go with every kind.
_KINDS = {
    "project": ("autoscaling",),
    "branch": ("autoscaling",),
    "endpoint": ("autoscaling",),
    "min_cu": ("autoscaling",),
    "max_cu": ("autoscaling",),
    "suspend_after": ("autoscaling",),
    "history_days": ("autoscaling",),
    "managed": ("autoscaling", "provisioned"),
    "permissions": ("autoscaling", "provisioned"),
    "principal": ("autoscaling", "provisioned"),
    "instance": ("provisioned",),
    "capacity": ("provisioned",),
    "name": ("autoscaling", "provisioned"),
    "url": ("external",),
}


def kind(tree: Node | None) -> str | None:
    """The kind that a tree states, whether there is such a one or not."""
    node = at(tree, ["database", "kind"])
    return str(node.value) if node and node.value is not None else None


def below(lower: Node | None, upper: Node | None) -> Node | None:
    """`lower` as `upper` is to be laid over it: who states another kind does not inherit the keys of the old one."""
    new = kind(upper)
    if new is None or new == (kind(lower) or DEFAULT_KIND):
        return lower
    return without(lower, *(("database", key) for key, kinds in _KINDS.items() if new not in kinds))


def instance_key(tree: Node | None) -> str:
    """The dotted key that names what a Lakebase database is in: what the predecessor called the instance."""
    return "database.instance" if kind(tree) == "provisioned" else "database.project"


def problems(settings: Settings, tree: Node) -> list[Problem]:
    """Keys that belong to another kind than the target's, and what is missing.

    Args:
        settings: of one target.
        tree: what they were made of.
    """
    database = settings.database
    found = [
        Problem(node.origin, _stray(str(path[0]), database.kind))
        for path, node in leaves(at(tree, ["database"]))
        if path and node.value is not None and database.kind not in _KINDS.get(str(path[0]), (database.kind,))
    ]
    if database.kind == "external" and database.url is None:
        text = "an external database needs `url: {secret: KEY}`, the key of the secret that holds its URL."
        found.append(Problem(nearest(tree, ["database", "kind"]).origin, text))
    if database.principal and database.password:
        text = "logs in by itself with its credentials. Leave out either it or `password`."
        found.append(Problem(nearest(tree, ["database", "principal"]).origin, text))
    least, most = database.min_cu or NEW_MIN_CU, database.max_cu or NEW_MAX_CU
    if least > most:
        text = f"the least compute units, {least:g}, are more than the most, {most:g}."
        found.append(Problem(nearest(tree, ["database", "min_cu"]).origin, text))
    return found


def stated(settings: Settings) -> tuple[str, str]:
    """The database of a target and the key that tells it from others: equal for targets that share one."""
    d = settings.database
    if d.url is not None:
        return f"{settings.secret_scope}/{d.url.secret}", "database.url"
    if d.kind == "provisioned":
        return f"{settings.instance_name}/{settings.database_name}", "database.instance"
    return f"{settings.project_id}/{d.branch}/{settings.database_name}", "database.project"


def applies(key: str, settings: Settings) -> bool:
    """Whether a dotted key means anything for the target's kind of database."""
    section, _, name = key.partition(".")
    kind = settings.database.kind
    return section != "database" or kind in _KINDS.get(name.split(".")[0], (kind,))


def _stray(key: str, kind: str) -> str:
    if (key, kind) == ("name", "external"):
        return "an external database is named by its URL. Leave `name` out."
    if (key, kind) == ("managed", "external"):
        return "an external database is never made or changed. Leave `managed` out."
    return f"goes with kind {_KINDS[key][0]}, and this database's kind is {kind}. Leave `{key}` out, or change `kind`."
