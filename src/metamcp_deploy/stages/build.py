"""The stage `build`: installs and builds a copy of the patched tree, and makes the bundle from the output.

Slow work is kept in layers (dependencies, upstream's build, the packed release). A layer is made again only when one of
its inputs changed. A changed setting renders databricks.yml again and leaves the release as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from metamcp_deploy import __version__, events, fingerprint, pipeline
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.pipeline import Facts, Flag, Step

if TYPE_CHECKING:
    from metamcp_deploy.config.project import Project
    from metamcp_deploy.release.build import bundle

NAME, REMOTE = "build", False

# What shapes a release, below the package. app.yaml and databricks.yml are parameters of the stage.
SOURCES = (
    *("stages/build.py", "release/build", "release/archive.py", "release/identity.py"),
    *("release/metadata.py", "release/placing.py", "release/sbom.py"),
    *("upstream/advisories.py", "upstream/advisories.yaml", "launcher", "verify"),
    *("upstream/packages.py", "upstream/osv.json"),
    *(
        "knowledge/launcher",
        "knowledge/build",
        "knowledge/__init__.py",
        "knowledge/entry.py",
        "knowledge/loading.py",
        "knowledge/place.py",
    ),
)


@dataclass(frozen=True)
class Wishes:
    """What a run asks of this stage beyond the settings.

    Attributes:
        clean: build from nothing.
        verify: start the release before it counts as built.
        archive: where to write the bundle as one file, once it is built.
    """

    clean: Annotated[bool, Flag(("--clean",), "Build from nothing.")] = False
    verify: Annotated[bool, Flag(("--no-verify",), "Do not start the release to see that it runs.")] = True
    archive: Annotated[
        Path | None, Flag(("--archive",), "Write the verified bundle to one file.", metavar="FILE")
    ] = None


def step(project: Project, wishes: Wishes | None = None) -> Step:
    """The stage for this project.

    Raises:
        DeployError: STAGE_MISSING before `patch` has run, TOOL_MISSING without a suitable Node, and TEMPLATE_INVALID,
            BUNDLE_INVALID or CONFIG_INVALID for what app.yaml and databricks.yml are made from.
    """
    plan, asked = _plan(project), wishes or Wishes()
    return Step(
        name=NAME,
        inputs={"patched tree": plan.origin.patched, "tool": plan.sources},
        params={
            "tool version": __version__,
            "upstream pin": [plan.origin.url, plan.origin.ref, plan.origin.commit],
            "schema name": plan.origin.schema,
            "`build.source_maps`": plan.origin.source_maps,
            "`node` version": plan.node.version,
            "`pnpm` version": plan.pnpm,
            "what was patched": fingerprint.of_value(dict(plan.origin.provenance)),
            "app.yaml": fingerprint.of_value(plan.app_yaml),
            "databricks.yml": fingerprint.of_value(plan.databricks_yml),
        },
        outputs=(project.bundle,),
        run=lambda: _run(project, plan, asked),
        summary=_summary,
        valid=lambda facts: _invalid(project, facts, asked.verify),
        forced="--clean" if asked.clean else None,
        finish=lambda facts: _archived(project, facts, asked.archive),
    )


def _plan(project: Project) -> bundle.Plan:
    from metamcp_deploy.release import metadata
    from metamcp_deploy.release.build import assembly, bundle, node, toolchain
    from metamcp_deploy.target import app_yaml, databricks_yml
    from metamcp_deploy.upstream import advisories

    prepared = pipeline.facts(project.state, "prepare", "build")
    patched = pipeline.facts(project.state, "patch", "build")
    if not (project.patched / "package.json").is_file():
        raise DeployError(
            Code.STAGE_MISSING,
            f"`build` needs the patched tree, and {project.patched} holds none.",
            hint="Run `metamcp-deploy patch`, or `metamcp-deploy deploy` for all stages.",
        )
    found, pnpm = node.find(), toolchain.named_pnpm(project.patched)
    # An override may bring another lockfile than the one that `prepare` read.
    own = [hole for hole in prepared.get("advisories", []) if not hole.get("package")]
    holes = [*own, *advisories.as_facts(advisories.of_packages(project.patched))]
    origin = assembly.Origin(
        url=metadata.public(str(prepared["url"])),
        ref=str(prepared["ref"]),
        commit=str(prepared["commit"]),
        schema=str(patched["schema"]),
        patched=fingerprint.of_tree(project.patched),
        source_maps=project.settings.build.source_maps,
        provenance=metadata.provenance({**prepared, "advisories": holes}, patched, found.version, pnpm),
    )
    return bundle.Plan(
        node=found,
        pnpm=pnpm,
        origin=origin,
        app_yaml=app_yaml.text(project),
        databricks_yml=databricks_yml.text(project),
        sources=fingerprint.of_own_sources(*SOURCES),
    )


def _run(project: Project, plan: bundle.Plan, asked: Wishes) -> Facts:
    from metamcp_deploy.release.build import bundle
    from metamcp_deploy.upstream import advisories

    holes = plan.origin.provenance["advisories"]
    before = pipeline.facts(project.state, "prepare", "build").get("advisories", [])
    # `prepare` named those of upstream's own lockfile.
    if said := advisories.note([hole for hole in holes if hole not in before], plan.origin.ref):
        events.emit(said)
    facts = bundle.make(project, plan, clean=asked.clean, verify=asked.verify)
    return {**facts, "advisories": [hole["id"] for hole in holes]}


def _archived(project: Project, facts: Facts, to: Path | None) -> Facts:
    if to is None:
        return facts
    from metamcp_deploy.release import artifact

    return {**facts, "archive": artifact.write(project, to)}


def _invalid(project: Project, facts: Facts, verify: bool) -> str | None:
    from metamcp_deploy.release.build import bundle

    if reason := bundle.changed(project.bundle, facts.get("contents")):
        return reason
    return "release is not verified" if verify and not facts.get("verified") else None


def _summary(facts: Facts) -> str:
    words = [f"release {facts['release']}" + (" from the cache" if facts["cached"] else "")]
    words += [f"{facts['files']} files", f"{facts['bytes'] / 1e6:.1f} MB"]
    spent = ", ".join(f"{what} {s:.0f} s" for what, s in facts["seconds"].items())
    return ", ".join(words) + (f" ({spent})" if spent else "")
