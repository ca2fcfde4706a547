"""What a release is made from, and what changed between two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metamcp_deploy.cli import planning
from metamcp_deploy.cli.history import aligned
from metamcp_deploy.cli.options import AppOption, Plan, Run, common
from metamcp_deploy.cli.views.help import App
from metamcp_deploy.cli.views.times import moment
from metamcp_deploy.stages.bundle_deploy import ForceLock

if TYPE_CHECKING:
    from metamcp_deploy.deployments.pruning import Stored
    from metamcp_deploy.release.description import Description

app = App(name="release", help="Look at releases, and delete old ones.", no_args_is_help=True)

Which = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="Id, its first digits, or a folder; by default build/bundle."),
]
Before = Annotated[str, typer.Argument(metavar="A", help="Id, its first digits, or a folder.")]
After = Annotated[str | None, typer.Argument(metavar="[B]", help="The same; by default build/bundle.")]
Sbom = Annotated[bool, typer.Option("--sbom", help="Print its bill of materials (CycloneDX), for scanners.")]

Update = Annotated[bool, typer.Option("--update", help="Fetch the newest list from api.osv.dev first.")]

_LISTED = 20  # files that text names; JSON has all


@app.command()
@common
def show(run: Run, release: Which = None, sbom: Sbom = False) -> None:
    """Print where a release comes from, what was done to it, what is in it, and its known holes."""
    from metamcp_deploy.release import description

    with run.console.following():
        found = description.find(run.project, release)
    if sbom:
        run.console.raw(json.dumps(description.bill_of_materials(found), indent=1))
        return
    packages = None if found.packages is None else sum(map(len, found.packages.values()))
    document = {**found.about, "where": found.where, "packages": packages}
    run.console.data(document, "\n".join(_shown(found, packages)))


@app.command()
@common
def diff(run: Run, before: Before, after: After = None) -> None:
    """Print what changed from release A to B: upstream, patches, packages, files."""
    from metamcp_deploy.release import description, differences

    with run.console.following():
        found = [description.find(run.project, which) for which in (before, after)]
    document = differences.between(*found)
    run.console.data(document, "\n".join(_differences(document)))


@app.command("advisories")
@common
def advisories_of(run: Run, release: Which = None, update: Update = False) -> None:
    """List the known holes of a release's pin and packages; --update fetches the newest list first."""
    from metamcp_deploy.network import Network
    from metamcp_deploy.release import description
    from metamcp_deploy.upstream import advisories, packages

    with run.console.following():
        if update:
            network = Network.of(run.project.settings.network, kept=run.project.certificates)
            packages.update(network.requests_session())
        found = description.find(run.project, release)
    holes = advisories.again(found.about.get("advisories") or [], found.packages or {})
    run.console.data({"advisories": holes}, "\n".join(map(advisories.told, holes)) or "None is known.")


@app.command("list")
@common
def listing(run: Run, app: AppOption = None) -> None:
    """List the releases in the workspace, and which the next deployment keeps."""
    from metamcp_deploy.deployments import pruning
    from metamcp_deploy.target import locate

    run.app = app
    with run.console.following():
        site = locate.site(run.project)
        stored = pruning.look(site)
        pins = pruning.pins(site, stored)
    if run.output == "json":
        run.console.data({"releases": [{**one.as_dict(), "pin": pins.get(one.id)} for one in stored]})
        return
    rows = [(one.id, pins.get(one.id, "-"), *_stored(one)) for one in stored]
    run.console.raw(
        "\n".join(aligned([("release", "pin", "used", ""), *rows])) if rows else "No release is there."
    )


@app.command()
@common
def prune(
    run: Run,
    app: AppOption = None,
    keep: Annotated[
        int | None, typer.Option("--keep", min=0, help="How many stay; default: releases.keep.")
    ] = None,
    plan: Plan = False,
    detailed_exitcode: planning.DetailedExitcode = False,
    force_lock: ForceLock = False,
) -> None:
    """Delete old releases from the workspace; what runs and what a rollback needs stays."""
    from metamcp_deploy.deployments import pruning
    from metamcp_deploy.target import locate, session

    run.app = app
    with run.console.following(), session.shared():
        site = locate.site(run.project)
        stored = pruning.look(site, keep) if plan else pruning.prune(site, keep, force_lock)
    planning.shown(run, pruning.plan(stored), plan and detailed_exitcode)


def _stored(one: Stored) -> tuple[str, str]:
    used = moment(one.used) + ("" if one.deployed else " (sent)")
    return (used, one.stays or "goes") if one.complete else ("-", "not wholly there: goes")


def _shown(found: Description, packages: int | None) -> Iterator[str]:
    about = found.about
    upstream, built = about["upstream"], about.get("built_with") or {}
    yield f"release {found.id}"
    rows = {
        "where": found.where,
        "upstream": f"{upstream['ref']} {upstream['commit']} of {upstream['url'] or 'a local clone'}",
        "tool": f"metamcp-deploy {about.get('tool')}",
        "built with": ", ".join(f"{name} {version}" for name, version in built.items()) or "not recorded",
        "schema": about.get("schema"),
        "verified": _verified(about.get("verified")),
        "sent": _files(about.get("files")),
        "runs": _files(found.listing) + (", with source maps" if about.get("source_maps") else ""),
        "packages": packages or "not recorded",
        "patches": _matches(about.get("patches")),
        "overrides": ", ".join(row["path"] for row in about.get("overrides") or []) or "none",
    }
    yield from (f"  {label:<11}{value}" for label, value in rows.items())
    from metamcp_deploy.upstream import advisories

    yield from (f"  {advisories.told(hole)}" for hole in about.get("advisories") or [])


def _verified(proof: dict[str, Any] | None) -> str:
    if proof is None:
        return "no"
    if not proof["database"]:
        return f"the front end alone, with Node {proof['node']}"
    return f"with Node {proof['node']} and {proof['database']}: {', '.join(proof['answered'])}"


def _files(files: dict[str, dict[str, Any]] | None) -> str:
    return (
        f"{len(files)} files, {_megabytes(sum(f['bytes'] for f in files.values()))}"
        if files
        else "not recorded"
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _matches(patches: list[dict[str, Any]] | None) -> str:
    return ", ".join(f"{p['id']} ({p['matches']})" for p in patches or []) or "not recorded"


def _differences(found: dict[str, Any]) -> Iterator[str]:
    if found["before"] == found["after"]:
        yield f"{found['after']} runs the same as {found['before']}."
    else:
        yield f"{found['before']} → {found['after']}"
    for label, (before, after) in found["told"].items():
        yield f"  {label}: {before} → {after}"
    for section in ("patches", "overrides", "advisories", "packages"):
        yield from _section(section, found[section])
    yield from _sizes(found["files"])


def _section(name: str, found: dict[str, Any] | None) -> Iterator[str]:
    if found is None:
        yield f"{name}: not recorded by one of the two"
        return
    lines = [f"  + {key} {_value(value)}".rstrip() for key, value in found["added"].items()]
    lines += [f"  - {key} {_value(value)}".rstrip() for key, value in found["removed"].items()]
    lines += [f"  ~ {key} {_value(a)} → {_value(b)}" for key, (a, b) in found["changed"].items()]
    if lines:
        yield f"{name}:"
        yield from lines


def _value(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else "" if isinstance(value, bool) else str(value)


def _sizes(found: dict[str, Any] | None) -> Iterator[str]:
    if found is None:
        yield "files: not recorded by one of the two"
        return
    rows = [(count, f"  + {path} {count}") for path, count in found["added"].items()]
    rows += [(count, f"  - {path} {count}") for path, count in found["removed"].items()]
    rows += [(abs(b - a), f"  ~ {path} {a} → {b}") for path, (a, b) in found["changed"].items()]
    if not rows:
        return
    before, after = map(_megabytes, found["bytes"])
    added, removed, changed = (len(found[kind]) for kind in ("added", "removed", "changed"))
    yield f"files: {added} added, {removed} removed, {changed} changed; {before} → {after} unpacked"
    yield from (line for _, line in sorted(rows, key=lambda row: (-row[0], row[1]))[:_LISTED])
    if len(rows) > _LISTED:
        yield f"  and {len(rows) - _LISTED} smaller ones (-o json lists all)"
