"""The kinds of database: one file each in this folder, one line each in `KINDS`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from metamcp_deploy.config.model import Settings
from metamcp_deploy.target.databases.autoscaling import Autoscaling
from metamcp_deploy.target.databases.base import Database
from metamcp_deploy.target.databases.external import External
from metamcp_deploy.target.databases.provisioned import Provisioned

KINDS: tuple[type[Database], ...] = (Autoscaling, Provisioned, External)


def of(settings: Settings) -> Database:
    """The database that the settings want."""
    stated = settings.database
    return next(kind for kind in KINDS if kind.kind == stated.kind).of_settings(stated, settings.app.name)


def of_resource(resource: Mapping[str, Any]) -> Database | None:
    """The database that a resource of an app stands for; None for other resources."""
    return next(filter(None, (kind.of_resource(resource) for kind in KINDS)), None)


def attached(resources: Iterable[Mapping[str, Any]]) -> Database:
    """The database among an app's resources; an external one where there is none."""
    return next(filter(None, map(of_resource, resources)), External())


def moved(resource: dict[str, Any], branch: str) -> dict[str, Any]:
    """A resource of an app, on another branch where it is a database on one."""
    database = of_resource(resource)
    if database is None:
        return resource
    attachment = database.on_branch(branch).attachment
    return {k: {**v, **attachment[k]} if k in attachment else v for k, v in resource.items()}


__all__ = [
    "KINDS",
    "Autoscaling",
    "Database",
    "External",
    "Provisioned",
    "attached",
    "moved",
    "of",
    "of_resource",
]
