"""Decides whether the record and the release of the deployment to return to can be believed."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from metamcp_deploy.converge.parts.app import fields as app_fields
from metamcp_deploy.deployments.records import Record, Wanted
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import identity, releases
from metamcp_deploy.target import databricks_yml, locate
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App


def proven(site: Site, app: App, target: Record, named: str | None) -> tuple[Record, Record | None]:
    """The record to go by.

    A signed one goes by itself. Of an unsigned one only the release counts, and only when it is named: environment,
    resources and the app's fields are those of the settings.

    Args:
        site: of the target.
        app: as it is now.
        target: the record of the deployment to return to.
        named: id of the release, as the user gave it.

    Returns:
        The record to go by; the unsigned one that it stands for, or None.

    Raises:
        DeployError: NO_WAY_BACK for another release than the one named; RECORD_UNSIGNED; RELEASE_UNPROVEN for a
            release of format 1 that is not named.
    """
    again = f"metamcp-deploy rollback {target.deployment[:12]} --id {target.release} {locate.called(site.project)}"
    if named is not None and named != target.release:
        raise DeployError(
            Code.NO_WAY_BACK,
            f"Deployment {target.deployment} ran release {target.release}, not {named} as --id says.",
            hint=f"Name the deployment that ran it; or go back to this one: {again}",
        )
    if not target.signed:
        _allowed(site, target, named, again)
        return _of_settings(site, app, target), target
    about = {} if named else releases.about(site.workspace, site.root, target.release)
    if about.get("format") == 1:
        hint = f"Compare its release.json with that of its build, if you can; then: {again}"
        raise identity.unproven(target.release, site.root, hint)
    return target, None


def _allowed(site: Site, target: Record, named: str | None, again: str) -> None:
    if named and not site.project.bare:
        return
    hint = (
        f"To run that release with the environment of the settings: {again} (the same with --plan shows both)."
        if not site.project.bare
        else "Run the command in the folder of its metamcp.yaml, with -t TARGET and --id RELEASE instead of --app: the "
        "environment comes from the settings then."
    )
    raise DeployError(
        Code.RECORD_UNSIGNED,
        f"{target.path} carries no valid signature: an older version wrote it, or somebody else who may write to "
        f"{site.root}. Its environment is not sent again.",
        hint=hint,
    )


def _of_settings(site: Site, app: App, target: Record) -> Record:
    """The target with nothing of its record but release, time and outcome."""
    desired = databricks_yml.current(site.project, site.workspace.me)
    wanted = Wanted(
        release=target.release,
        source_code_path=releases.path_of(site.root, target.release),
        env=desired.app.environment(app.url),
        resources=[dict(resource) for resource in desired.app.resources],
        secrets={},
    )
    kept = ("format", "deployment", "at", "by", "kind", "outcome", "upstream", "migrations")
    raw = {name: target.raw[name] for name in kept if name in target.raw}
    stated = app_fields.for_record(desired.app) | {"database": desired.database.stated}
    return replace(target, raw={**raw, **asdict(wanted), "desired": stated})
