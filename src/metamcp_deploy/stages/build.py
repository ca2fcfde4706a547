"""The stage `build`: installs and builds a copy of the patched tree, and makes the bundle from the output.

Slow work is kept in layers (dependencies, upstream's build, the packed release). A layer is made again only when one of
its inputs changed. A changed setting renders databricks.yml again and leaves the release as it is.
"""

from __future__ import annotations

from metamcp_deploy import __version__, events, fingerprint, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.pipeline import Facts, Step
from metamcp_deploy.release import metadata
from metamcp_deploy.release.build import assembly, bundle, node, toolchain
from metamcp_deploy.target import app_yaml, databricks_yml
from metamcp_deploy.upstream import advisories

# What shapes a release, below the package. app.yaml and databricks.yml are parameters of the stage.
SOURCES = (
    *("stages/build.py", "release/build", "release/archive.py", "release/metadata.py", "release/placing.py"),
    *("release/sbom.py", "upstream/advisories.py", "upstream/advisories.yaml", "launcher", "verify"),
    *(
        "knowledge/launcher",
        "knowledge/build",
        "knowledge/__init__.py",
        "knowledge/entry.py",
        "knowledge/loading.py",
        "knowledge/place.py",
    ),
)


def step(project: Project, *, clean: bool = False, verify: bool = True) -> Step:
    """The stage for this project; `clean` builds from nothing, without `verify` the release is not started.

    Raises:
        DeployError: STAGE_MISSING before `patch` has run, TOOL_MISSING without a suitable Node, and TEMPLATE_INVALID,
            BUNDLE_INVALID or CONFIG_INVALID for what app.yaml and databricks.yml are made from.
    """
    plan = _plan(project)
    return Step(
        name="build",
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
        run=lambda: _run(project, plan, clean, verify),
        summary=_summary,
        valid=lambda facts: _invalid(project, facts, verify),
    )


def _plan(project: Project) -> bundle.Plan:
    prepared = pipeline.facts(project.state, "prepare", "build")
    patched = pipeline.facts(project.state, "patch", "build")
    if not (project.patched / "package.json").is_file():
        raise DeployError(
            Code.STAGE_MISSING,
            f"`build` needs the patched tree, and {project.patched} holds none.",
            hint="Run `metamcp-deploy patch`, or `metamcp-deploy deploy` for all stages.",
        )
    found, pnpm = node.find(), toolchain.named_pnpm(project.patched)
    origin = assembly.Origin(
        url=metadata.public(str(prepared["url"])),
        ref=str(prepared["ref"]),
        commit=str(prepared["commit"]),
        schema=str(patched["schema"]),
        patched=fingerprint.of_tree(project.patched),
        source_maps=project.settings.build.source_maps,
        provenance=metadata.provenance(prepared, patched, found.version, pnpm),
    )
    return bundle.Plan(
        node=found,
        pnpm=pnpm,
        origin=origin,
        app_yaml=app_yaml.text(project),
        databricks_yml=databricks_yml.text(project),
        sources=fingerprint.of_own_sources(*SOURCES),
    )


def _run(project: Project, plan: bundle.Plan, clean: bool, verify: bool) -> Facts:
    holes = plan.origin.provenance["advisories"]
    if said := advisories.note(holes, plan.origin.ref):
        events.emit(said)
    facts = bundle.make(project, plan, clean=clean, verify=verify)
    return {**facts, "advisories": [hole["id"] for hole in holes]}


def _invalid(project: Project, facts: Facts, verify: bool) -> str | None:
    if reason := bundle.changed(project.bundle, facts.get("contents")):
        return reason
    return "release is not verified" if verify and not facts.get("verified") else None


def _summary(facts: Facts) -> str:
    words = [f"release {facts['release']}" + (" from the cache" if facts["cached"] else "")]
    words += [f"{facts['files']} files", f"{facts['bytes'] / 1e6:.1f} MB"]
    spent = ", ".join(f"{what} {s:.0f} s" for what, s in facts["seconds"].items())
    return ", ".join(words) + (f" ({spent})" if spent else "")
