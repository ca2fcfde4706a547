"""The stage `patch`: makes `build/metamcp` from the pinned commit with overrides and patches."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metamcp_deploy import events, fingerprint, pipeline, resources
from metamcp_deploy.config.project import Project

NAME, REMOTE = "patch", False
Wishes = pipeline.NoWishes
SOURCES = ("stages/patch.py", "patches")  # what shapes the patched tree, below the package


@dataclass(frozen=True)
class ListedPatch:
    """A row of `patch --list`; before a first run `matches` is None, and `files` are the declared ones."""

    id: str
    what: str
    why: str
    upstream: str
    verified: str
    packaged: bool
    source: str
    files: tuple[str, ...]
    matches: int | None


@dataclass(frozen=True)
class ListedOverride:
    """A row of `patch --list`; `replaces` is whether the upstream has that file, None before the first run."""

    path: str
    source: str
    packaged: bool
    replaces: bool | None


def step(project: Project, wishes: pipeline.NoWishes | None = None) -> pipeline.Step:
    """The stage. Its run raises PATCH_…, TEMPLATE_INVALID and FILE_ACCESS.

    Raises:
        DeployError: STAGE_MISSING, when nothing is prepared.
    """
    commit = str(pipeline.facts(project.state, "prepare", NAME)["commit"])
    schema = project.settings.database.schema_
    return pipeline.Step(
        name=NAME,
        inputs={
            "upstream commit": commit,
            "patches": _digest([_folder(project, "patches")]),
            "overrides": _digest(resources.layered("overrides", _folder(project, "overrides"))),
            "templates": _digest(resources.layered("templates", _folder(project, "templates"))),
            "metamcp-deploy": fingerprint.of_own_sources(*SOURCES),
        },
        params={"database.schema": schema, "ast-grep": importlib.metadata.version("ast-grep-py")},
        outputs=(project.patched,),
        run=lambda: _run(project, commit, schema),
        summary=_summary,
        valid=lambda facts: _changed_by_hand(project, facts),
    )


def difference(project: Project) -> str:
    """The whole change from the pinned commit to `build/metamcp`: a unified diff, the same on any machine.

    Raises:
        DeployError: STAGE_MISSING, when `patch` has not run.
    """
    from metamcp_deploy.patches import tree

    commit = str(pipeline.facts(project.state, NAME, "patch --diff")["commit"])
    with tempfile.TemporaryDirectory(prefix="metamcp-upstream-") as folder:
        tree.export(project.upstream, commit, Path(folder))
        return tree.difference(Path(folder), project.patched)


def listed(project: Project) -> list[ListedPatch]:
    """Every patch, the package's and the user's, sorted by id, with what the last run found.

    Raises:
        DeployError: PATCH_INVALID, for a user's patch that is none.
    """
    from metamcp_deploy.patches import declaration

    found = {p["id"]: p for p in _last(project).get("patches", [])}
    return [
        ListedPatch(
            id=p.id,
            what=p.what,
            why=p.why,
            upstream=p.upstream,
            verified=p.verified,
            packaged=p.own,
            source=str(p.source),
            files=tuple(found.get(p.id, {}).get("files", p.files)),
            matches=found.get(p.id, {}).get("matches"),
        )
        for p in declaration.load(_folder(project, "patches"))
    ]


def listed_overrides(project: Project) -> list[ListedOverride]:
    """Every override, sorted by path, and whether it replaces a file of the upstream or adds one."""
    from metamcp_deploy.patches import overrides

    replaced = _last(project).get("replaced")
    return [
        ListedOverride(o.path, str(o.source), o.own, None if replaced is None else o.path in replaced)
        for o in overrides.load(_folder(project, "overrides"))
    ]


def _run(project: Project, commit: str, schema: str) -> pipeline.Facts:
    from metamcp_deploy.patches import declaration, engine, overrides, tree, verification

    with tree.replacing(project.patched) as fresh, ThreadPoolExecutor(1) as aside:
        events.emit(events.Progress("overrides and patches"))
        # git writes the files while patches are read and the libraries they need are loaded
        exporting = aside.submit(tree.export, project.upstream, commit, fresh)
        patches = declaration.load(_folder(project, "patches"))
        whole_files = overrides.load(_folder(project, "overrides"))
        exporting.result()
        replaced = overrides.lay(fresh, whole_files)
        applied = engine.apply(fresh, patches, {"schema": schema}, _folder(project, "templates"))
        events.emit(events.Progress("checking the result"))
        touched = [o.path for o in whole_files] + [path for a in applied for path in a.files]
        verification.verify(fresh, schema, touched)
        digest = fingerprint.of_tree(fresh)
    return {
        "commit": commit,
        "schema": schema,
        "patches": [
            {"id": a.id, "what": a.what, "files": list(a.files), "matches": a.matches} for a in applied
        ],
        "overrides": [o.path for o in whole_files],
        "replaced": replaced,
        "digest": digest,
    }


def _folder(project: Project, name: str) -> Path | None:
    chosen: Path | None = getattr(project.settings, name)
    return project.folder / chosen if chosen else None


def _digest(folders: Iterable[Path | None]) -> str:
    return fingerprint.of_value([fingerprint.of_tree(f) if f else None for f in folders])


def _last(project: Project) -> dict[str, Any]:
    record = pipeline.recorded(project.state, NAME)
    return record["facts"] if record else {}


def _changed_by_hand(project: Project, facts: pipeline.Facts) -> str | None:
    same = fingerprint.of_tree(project.patched) == facts.get("digest")
    return None if same else f"{project.patched.name} was changed by hand"


def _summary(facts: pipeline.Facts) -> str:
    edits = sum(p["matches"] for p in facts["patches"])
    added = len(facts["overrides"]) - len(facts["replaced"])
    return (
        f"{len(facts['patches'])} patches, {edits} edits, {added} files added, {len(facts['replaced'])} replaced; "
        f"schema {facts['schema']}"
    )
