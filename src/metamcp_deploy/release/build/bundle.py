"""Makes `build/bundle/` beside the existing one, then replaces it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from metamcp_deploy import __version__, events, fingerprint, process, resources
from metamcp_deploy.config.project import Project
from metamcp_deploy.pipeline import Facts
from metamcp_deploy.release import metadata
from metamcp_deploy.release.build import assembly, programs, upstream, verification
from metamcp_deploy.release.build.assembly import Origin
from metamcp_deploy.release.build.cache import Cache, digests
from metamcp_deploy.release.build.node import Node
from metamcp_deploy.release.build.work import Work, built_key, dependencies_key
from metamcp_deploy.release.placing import placed
from metamcp_deploy.target import rendering

_PACKED = "packed"
_MARK = "METAMCP_DEPLOY_BUILD"  # in the environment of all programs that a build starts
_LOG = "build.log"
_CHECKED = ("databricks.yml", "app/app.yaml", "app/start.mjs", "app/release.json", "app/files.json")


@dataclass(frozen=True)
class Plan:
    """All that a build is made from, known before it starts.

    Attributes:
        node: runs everything.
        pnpm: the version the tree names.
        origin: upstream, schema and digest of the patched tree.
        app_yaml: rendered.
        databricks_yml: rendered.
        sources: digest of this tool's own sources that shape a release.
    """

    node: Node
    pnpm: str
    origin: Origin
    app_yaml: str
    databricks_yml: str
    sources: str


def make(project: Project, plan: Plan, *, clean: bool = False, verify: bool = True) -> Facts:
    """Builds what is not built yet and puts the bundle in place; failed or interrupted, the former one stays.

    Args:
        project: whose bundle.
        plan: what it is made from.
        clean: forget dependencies and outputs of earlier builds first.
        verify: start the release before it counts.

    Returns:
        Facts of the stage: release, node, package_manager, files and bytes of the app's source, contents (path in
        the bundle → SHA-256), verified (see `verification`), seconds (of each part of the work that was done).

    Raises:
        DeployError: as installing, building, packing, checking and verifying do.
    """
    work, cache = Work.of(project), Cache.of(project.use_cache)
    # Programs of a killed build (kill -9) live on, and would write into the tree of this one.
    process.end_marked(_MARK, str(work.folder))
    seconds: dict[str, float] = {}
    with placed(project.bundle) as fresh:
        if clean:
            shutil.rmtree(work.folder, ignore_errors=True)
        work.folder.mkdir(parents=True, exist_ok=True)
        app = fresh / "app"
        keys = _keys(project, plan)
        kept = _is_there(project, work, keys.release, app)
        cached = not kept and not clean and cache.take(keys.release, app)
        if not (kept or cached):
            _build(project, plan, work, keys, app, seconds)
        with _timed(seconds, "verify"):
            verified = verification.prove(app, work, plan.node, verify)
        work.remember(_PACKED, {"key": keys.release, "contents": digests(app)})
        (fresh / "databricks.yml").write_text(plan.databricks_yml)
        rendering.check_secrets(project, {name: (fresh / name).read_bytes() for name in _CHECKED})
        cache.keep(keys.release, app)
        return {**_facts(plan, fresh, seconds), "verified": verified, "cached": cached}


def changed(bundle: Path, contents: Mapping[str, str] | None) -> str | None:
    """Why a bundle is not what a build left, in words; None when it is.

    Args:
        bundle: the folder.
        contents: path → SHA-256 of each file, as in the facts.
    """
    found = digests(bundle)
    for path, digest in (contents or {}).items():
        if path not in found:
            return f"{path} is missing in {bundle.name}"
        if found[path] != digest:
            return f"{path} in {bundle.name} was changed by hand"
    if foreign := sorted(set(found) - set(contents or {})):
        return f"{foreign[0]} in {bundle.name} is not from the build"
    return None


@dataclass(frozen=True)
class _Keys:
    """Of the layers of a build: each covers all that the layer is made from."""

    dependencies: str
    built: str
    release: str


def _keys(project: Project, plan: Plan) -> _Keys:
    installed = dependencies_key(project.patched, [plan.node.version, plan.pnpm, str(project.use_cache)])
    built = built_key(project.patched, installed, plan.origin.source_maps)
    release_key = fingerprint.of_value(
        [built, plan.sources, plan.app_yaml, astuple(plan.origin), __version__]
    )
    return _Keys(installed, built, release_key)


def _is_there(project: Project, work: Work, key: str, app: Path) -> bool:
    """Copies the release in the bundle, if it was made from the same and nobody changed it."""
    packed: dict[str, Any] = work.recall(_PACKED) or {}
    here = project.bundle / "app"
    if packed.get("key") != key or changed(here, packed.get("contents")) is not None:
        return False
    shutil.copytree(here, app)
    return True


def _build(
    project: Project, plan: Plan, work: Work, keys: _Keys, app: Path, seconds: dict[str, float]
) -> None:
    """Installs, builds and packs, as far as the layers are not there, and writes the release's files to `app`."""
    env = upstream.Environments.of(project, work.home, **{_MARK: str(work.folder)})
    log = project.logs / _LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    pnpm, env = work.pnpm(plan.node, plan.pnpm, env)
    where = f"{plan.node.origin} ({plan.node.program})"
    events.emit(events.Note(f"Node {plan.node.version} {where}, pnpm {pnpm.version} {pnpm.origin}"))
    with _timed(seconds, "install"):
        work.dependencies(keys.dependencies, project.patched, env.install, log)
    with _timed(seconds, "build"):
        work.built(keys.built, project.patched, plan.origin.source_maps, env.build, log)
    with _timed(seconds, "pack"):
        events.emit(events.Progress("Packing the release"))
        bundled = programs.bundle(work.tree, work.out, env.build, log, plan.origin.source_maps)
        made = assembly.assemble(work.tree, bundled, plan.app_yaml, plan.origin)
        app.mkdir()
        assembly.write(made, app)
        metadata.complete(app, made, plan.origin.provenance, work.tree)


@contextmanager
def _timed(seconds: dict[str, float], what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    if (spent := round(time.monotonic() - started, 2)) >= 0.1:
        seconds[what] = spent


def _facts(plan: Plan, bundle: Path, seconds: dict[str, float]) -> Facts:
    sizes = [(bundle / "app" / p).stat().st_size for p in resources.files_below(bundle / "app")]
    return {
        "release": json.loads((bundle / "app" / "release.json").read_text())["id"],
        "node": plan.node.version,
        "package_manager": f"pnpm@{plan.pnpm}",
        "files": len(sizes),
        "bytes": sum(sizes),
        "contents": digests(bundle),
        "seconds": seconds,
    }
