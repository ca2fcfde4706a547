"""What of a database no change of this tool can heal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from metamcp_deploy.errors import Code, DeployError


def lacking(host: str, what: Iterable[str]) -> DeployError:
    """A database of others is not there."""
    return DeployError(
        Code.NOT_FOUND,
        f"{host} has no {', no '.join(what)}, and the settings say that the database is managed elsewhere.",
        hint="Ask its owner to make that, or correct the names in `database`; database.managed: true lets this "
        "tool make it.",
    )


def disabled(endpoint: str) -> DeployError:
    """The endpoint of others takes no connection."""
    return DeployError(
        Code.REQUEST_REFUSED,
        f"The {endpoint} is disabled: it takes no connection.",
        hint="Ask its owner to enable it (spec.disabled: false); database.managed: true lets this tool do it.",
    )


def named_like_an_instance(name: str, host: str) -> DeployError:
    """The project would be made beside the instance that the predecessor's variable named."""
    return DeployError(
        Code.CONFIG_CONFLICT,
        f"{name} is a database instance of {host}, and there is no Lakebase project of that name: one "
        "would be made, and it would be empty.",
        hint=f"To use the instance, set database.kind: provisioned and database.instance: {name}; "
        "for the predecessor's app `metamcp-deploy init --from-predecessor` writes that. For a new project, "
        "choose another database.project (LAKEBASE_INSTANCE_NAME).",
    )


def other_version(project: str, present: Any, wanted: int) -> DeployError:
    """A project keeps the version of Postgres that it was made with."""
    return DeployError(
        Code.CONFIG_CONFLICT,
        f"The Lakebase {project} runs PostgreSQL {present}, and database.pg_version says {wanted}. The version is "
        "fixed when a project is made.",
        hint=f"Set database.pg_version: {present}, or leave it out; for another version name a new database.project "
        "and move the data (docs/operating.md).",
    )
