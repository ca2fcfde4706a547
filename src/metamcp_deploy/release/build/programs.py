"""Bundles the programs of a release, each into one ESM file, with the tree's own esbuild (resolved from its tsup)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metamcp_deploy import knowledge, process, resources
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.build import sourcemaps

_SCRIPT = Path(__file__).with_name("bundle.mjs")
_LAUNCHER = resources.PACKAGE / "launcher"
BACKEND = "apps/backend"

# `pg-native` is an optional native driver that `pg` loads only on request. Names are kept as upstream's tsup does.
_UPSTREAM = {"commonjs": True, "external": ["pg-native"], "keepNames": True}
_MAPPED = {"sourcemap": True, "sourcesContent": False}


def bundle(tree: Path, out: Path, env: Mapping[str, str], log: Path, source_maps: bool) -> dict[str, bytes]:
    """Bundles backend, migrator, preload and launcher.

    Args:
        tree: built, with its dependencies.
        out: scratch folder for the results.
        env: of node; its PATH names it.
        log: what esbuild says is appended there.
        source_maps: make that of the backend, too.

    Returns:
        File name (index.mjs, migrate.mjs, preload.mjs, start.mjs, and index.mjs.map) → content.

    Raises:
        DeployError: BUILD_FAILED, with esbuild's own words.
    """
    known = {"KNOWN_FAILURES": json.dumps(knowledge.for_launcher())}
    # Folder and file in it: esbuild writes file names, relative to the folder, into what it makes.
    entries: dict[str, tuple[Path, str, Mapping[str, Any]]] = {
        "index.mjs": (tree, f"{BACKEND}/src/index.ts", _UPSTREAM | (_MAPPED if source_maps else {})),
        "migrate.mjs": (tree, f"{BACKEND}/src/databricks/migrate.ts", _UPSTREAM),
        "preload.mjs": (_LAUNCHER, "preload/preload.mjs", {}),
        "start.mjs": (_LAUNCHER, "start.mjs", {"define": known}),
    }
    for folder, name, _ in entries.values():
        if not (entry := folder / name).is_file():
            raise DeployError(
                Code.BUILD_FAILED,
                f"{entry} is missing; the release is made from it.",
                hint="`metamcp-deploy patch` makes the tree anew; it must not be removed by an override.",
            )
    jobs = [
        {"absWorkingDir": str(folder), "entry": entry, "outfile": str(out / name), **options}
        for name, (folder, entry, options) in entries.items()
    ]
    question = {"from": str(tree / BACKEND / "node_modules" / "tsup" / "package.json"), "jobs": jobs}
    process.run(
        ["node", _SCRIPT],
        cwd=tree,
        env=env,
        stdin=json.dumps(question).encode(),
        source="esbuild",
        log=log,
        timeout=300,
        code=Code.BUILD_FAILED,
        hint="Correct the file named above, or `metamcp-deploy build --clean` if dependencies look broken.",
    )
    made = {name: (out / name).read_bytes() for name in entries}
    if source_maps:
        name = f"index.mjs{sourcemaps.END}"
        made[name] = sourcemaps.of_program((out / name).read_bytes(), out, tree)
    return made
