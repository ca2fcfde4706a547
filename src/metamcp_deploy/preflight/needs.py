"""What a deployment needs, step by step, as a table: docs/permissions.md shows it, `preflight` fills it in.

Sources: docs.databricks.com, "Access control lists" (folders), "Manage project permissions" (Lakebase), "Secret
management", "Configure permissions for your app", "Add resources to an app" (who attaches a thing manages it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

ADMIN = "a workspace admin"


class State(StrEnum):
    """How it stands with a need; `unknown` is what only an attempt could tell."""

    HAD = "had"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Need:
    """One thing that a step needs.

    Attributes:
        step: of a deployment.
        needs: the permission or condition.
        told: how it is found out without changing anything.
        whom: who can give it.
        ask: what to write to them, with the names of `Check.of` in braces.
    """

    step: str
    needs: str
    told: str
    whom: str
    ask: str


@dataclass(frozen=True)
class Check:
    """How it stands with one need of one target.

    Attributes:
        id: of the need.
        step: of a deployment.
        needs: the permission or condition.
        state: had, missing, unknown.
        detail: what was seen.
        whom: who can give it.
        ask: what to write to them; empty where nothing is missing.
    """

    id: str
    step: str
    needs: str
    state: State
    detail: str
    whom: str
    ask: str

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return asdict(self)


NEEDS: Mapping[str, Need] = {
    "host": Need(
        "log in",
        "the workspace's address, as in `workspace.host`",
        "the host answers as a workspace does, and the login is one for it",
        "whoever runs the workspace",
        "Which workspace is {app} to be deployed to? {host} is not it, or cannot be reached from here: {detail}",
    ),
    "address": Need(
        "log in",
        "a network that the workspace lets in",
        "no answer says that the address is blocked (IP access list, private link)",
        ADMIN,
        "Please let the network of the machine that deploys {app} into {host} (IP access list). It says: {detail}",
    ),
    "login": Need(
        "log in",
        "a user or service principal of the workspace",
        "the workspace tells who the login is",
        ADMIN,
        "Please add the user or service principal that deploys {app} to {host}, with the entitlement Workspace "
        "access. Its login fails: {detail}",
    ),
    "root": Need(
        "root folder",
        "CAN MANAGE on the root folder",
        "the access list of `workspace.root_path`, or of the nearest folder above it that is there",
        "whoever manages the folder, or " + ADMIN,
        "Please give {me} CAN MANAGE on the folder {thing} of {host}; the releases and records of {app} go there:\n"
        "{command}",
    ),
    "lakebase": Need(
        "database",
        "Lakebase in this workspace",
        "its API answers",
        ADMIN,
        "Please enable Lakebase ({thing}) in {host}, or name a PostgreSQL server that {app} may use instead. The "
        "workspace says: {detail}",
    ),
    "database": Need(
        "database",
        "CAN MANAGE on the Lakebase project or instance",
        "its access list; nothing is needed where it is attached to the app and `database.permissions` is empty",
        "whoever manages it, or " + ADMIN,
        "Please give {me} CAN MANAGE on {thing} of {host}, to attach {app} to its database:\n{command}",
    ),
    "scope": Need(
        "secrets",
        "MANAGE on the secret scope",
        "whether its access list may be read; READ is enough where it is attached to the app and "
        "`secrets.permissions` is empty",
        "whoever manages the scope, or " + ADMIN,
        "Please give {me} MANAGE on the secret scope {thing} of {host}, to attach {app} to its secrets:\n{command}",
    ),
    "keys": Need(
        "secrets",
        "the secrets that the settings name",
        "the list of its keys",
        "whoever manages the scope",
        "Please put these secrets, which {app} uses, into the scope {thing} of {host}:\n{command}",
    ),
    "apps": Need(
        "app",
        "Databricks Apps in this workspace",
        "its API answers",
        ADMIN,
        "Please enable Databricks Apps in {host}. The workspace says: {detail}",
    ),
    "limit": Need(
        "app",
        "room for another app",
        "the list of apps (a workspace holds 100), of which only a workspace admin is sure to see all",
        ADMIN,
        "Please make room for the app {app} in {host}: {detail}",
    ),
    "name": Need(
        "app",
        "a name that is free or ours",
        "who made the app, the path of its code, and what the target recorded",
        "whoever made the app",
        "May metamcp-deploy take over the app {app} of {host}? {detail} If so, I deploy with --adopt; else I choose "
        "another app.name.",
    ),
    "app": Need(
        "app",
        "CAN MANAGE on the app",
        "its access list",
        "whoever manages the app, or " + ADMIN,
        "Please give {me} CAN MANAGE on the app {app} of {host}:\n{command}",
    ),
    "grants": Need(
        "permissions",
        "CAN MANAGE on the app, for `app.permissions`",
        "as above",
        "whoever manages the app, or " + ADMIN,
        "Please give {me} CAN MANAGE on the app {app} of {host}:\n{command}",
    ),
    "size": Need(
        "upload",
        "files of at most 10 MB",
        "the release in build/bundle",
        "nobody: build it again",
        "{detail}",
    ),
    "upload": Need(
        "upload",
        "CAN MANAGE on the root folder",
        "as above",
        "whoever manages the folder, or " + ADMIN,
        "Please give {me} CAN MANAGE on the folder {thing} of {host}; the releases and records of {app} go there:\n"
        "{command}",
    ),
    "deploy": Need(
        "deploy",
        "CAN MANAGE on the app, and that it stays",
        "its access list and its state",
        "whoever manages the app, or " + ADMIN,
        "Please give {me} CAN MANAGE on the app {app} of {host}:\n{command}",
    ),
    "open": Need(
        "health and logs",
        "CAN USE on the app",
        "its access list",
        "whoever manages the app, or " + ADMIN,
        "Please give {me} CAN USE on the app {app} of {host}:\n{command}",
    ),
    "oauth": Need(
        "health and logs",
        "a login with OAuth",
        "how the login was made: a personal access token opens no app",
        "nobody: log in anew",
        "databricks auth login --host {host} --profile NAME, then -p NAME; in a pipeline see docs/ci.md",
    ),
}


def markdown() -> str:
    """The table as docs/permissions.md shows it."""
    rows = [("step", "needed", "how `preflight` tells", "who can give it")]
    rows += [("---",) * 4, *((n.step, n.needs, n.told, n.whom) for n in NEEDS.values())]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
