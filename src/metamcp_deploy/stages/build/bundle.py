"""Making `build/bundle/`: beside the one that is there, then in its place."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from metamcp_deploy import __version__, events, fingerprint, resources
from metamcp_deploy.config.project import Project
from metamcp_deploy.pipeline import Facts
from metamcp_deploy.stages.build import account, leftovers, manifests, programs, proven, release, upstream
from metamcp_deploy.stages.build.node import Node
from metamcp_deploy.stages.build.release import Origin
from metamcp_deploy.stages.build.work import Work, built_key, dependencies_key

_PACKED = "packed"
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
        the bundle → SHA-256), verified (see `proven`), seconds (of each part of the work that was done).

    Raises:
        DeployError: as installing, building, packing, checking and verifying do.
    """
    work = Work.of(project)
    leftovers.end(work.folder)
    fresh = project.build / ".bundle.new"
    _restore(project.bundle, fresh)
    if clean:
        shutil.rmtree(work.folder, ignore_errors=True)
    seconds: dict[str, float] = {}
    try:
        work.folder.mkdir(parents=True, exist_ok=True)
        fresh.mkdir(parents=True)
        key = _app(project, plan, work, fresh / "app", seconds)
        with _timed(seconds, "verify"):
            verified = proven.prove(fresh / "app", work, plan.node, verify)
        work.remember(_PACKED, {"key": key, "contents": _digests(fresh / "app")})
        (fresh / "databricks.yml").write_text(plan.databricks_yml)
        manifests.check_secrets(project, {name: (fresh / name).read_bytes() for name in _CHECKED})
        facts = {**_facts(plan, fresh, seconds), "verified": verified}
        _replace(project.bundle, fresh)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return facts


def changed(bundle: Path, contents: Mapping[str, str] | None) -> str | None:
    """Why a bundle is not what a build left, in words; None when it is.

    Args:
        bundle: the folder.
        contents: path → SHA-256 of each file, as in the facts.
    """
    found = _digests(bundle)
    for path, digest in (contents or {}).items():
        if path not in found:
            return f"{path} is missing in {bundle.name}"
        if found[path] != digest:
            return f"{path} in {bundle.name} was changed by hand"
    if foreign := sorted(set(found) - set(contents or {})):
        return f"{foreign[0]} in {bundle.name} is not from the build"
    return None


def _app(project: Project, plan: Plan, work: Work, app: Path, seconds: dict[str, float]) -> str:
    """The app's source folder: the release that is there, if made from the same, else a new one. Gives its key."""
    installed = dependencies_key(project.patched, [plan.node.version, plan.pnpm, str(project.use_cache)])
    built = built_key(project.patched, installed)
    key = fingerprint.of_value([built, plan.sources, plan.app_yaml, astuple(plan.origin), __version__])
    packed: dict[str, Any] = work.recall(_PACKED) or {}
    here = project.bundle / "app"
    if packed.get("key") == key and changed(here, packed.get("contents")) is None:
        app.mkdir()
        for name in packed["contents"]:
            shutil.copy2(here / name, app / name)
        return key
    env, log = leftovers.marked(upstream.environment(project), work.folder), project.logs / _LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    pnpm, env = work.pnpm(plan.node, plan.pnpm, env)
    where = f"{plan.node.origin} ({plan.node.program})"
    events.emit(events.Note(f"Node {plan.node.version} {where}, pnpm {pnpm.version} {pnpm.origin}"))
    with _timed(seconds, "install"):
        work.dependencies(installed, project.patched, env, log)
    with _timed(seconds, "build"):
        work.built(built, project.patched, env, log)
    with _timed(seconds, "pack"):
        events.emit(events.Progress("Packing the release"))
        bundled = programs.bundle(work.tree, work.out, env, log)
        made = release.assemble(work.tree, bundled, plan.app_yaml, plan.origin)
        app.mkdir()
        release.write(made, plan.origin, app)
        account.complete(app, made, plan.origin.told, work.tree)
    return key


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
        "contents": _digests(bundle),
        "seconds": seconds,
    }


def _digests(folder: Path) -> dict[str, str]:
    return {p.as_posix(): fingerprint.of_file(folder / p) for p in resources.files_below(folder)}


def _former(bundle: Path) -> Path:
    return bundle.with_name(f".{bundle.name}.former")


def _restore(bundle: Path, fresh: Path) -> None:
    """Ends what a killed build began: its half-made bundle goes, the former one comes back if it was moved aside."""
    shutil.rmtree(fresh, ignore_errors=True)
    if _former(bundle).exists():
        if bundle.exists():
            shutil.rmtree(_former(bundle))
        else:
            _former(bundle).rename(bundle)


def _replace(bundle: Path, fresh: Path) -> None:
    if bundle.exists():
        bundle.rename(_former(bundle))
    fresh.rename(bundle)
    shutil.rmtree(_former(bundle), ignore_errors=True)
