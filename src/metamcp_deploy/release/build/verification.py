"""Starts the release as its container will, and records the result in release.json: the last part of a build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metamcp_deploy import atomic, events, fingerprint, verify
from metamcp_deploy.release.build import node
from metamcp_deploy.release.build.node import Node
from metamcp_deploy.release.build.work import Work

KEY = "verified"  # of release.json; no part of the release's id


def prove(app: Path, work: Work, builder: Node, wanted: bool) -> dict[str, Any] | None:
    """Starts the release, unless this was done before with the same files, and writes down what was proven.

    Args:
        app: the release's files; release.json is written anew.
        work: remembers the last proof.
        builder: the Node that takes the place of the platform's where the extra is missing.
        wanted: False for `--no-verify`.

    Returns:
        `node`, `database` (None without one), `answered` (paths), and `seconds` when it was started now; None when
        nothing was ever proven.

    Raises:
        DeployError: RELEASE_UNHEALTHY.
    """
    path = app / "release.json"
    about = json.loads(path.read_text())
    files = fingerprint.of_tree(app)
    last = work.recall(KEY) or {}
    before: dict[str, Any] | None = about.get(KEY) or (last["found"] if last.get("files") == files else None)
    if not wanted or (before and (before["database"] or not verify.available())):
        found, measured = before, {}
    else:
        runner = node.of_extra() or builder
        proof = verify.verify(app, runner.program)
        found = {"node": runner.version, "database": proof.database, "answered": list(proof.answered)}
        measured = {"seconds": proof.seconds}
        work.remember(KEY, {"files": files, "found": found})
        _say(found, proof.seconds)
    if found and about.get(KEY) != found:
        atomic.write(path, json.dumps({**about, KEY: found}, indent=1) + "\n")
    return found and {**found, **measured}


def _say(found: dict[str, Any], seconds: float) -> None:
    if found["database"]:
        text = f"verified: healthy in {seconds:.1f} s (Node {found['node']}, {found['database']})"
        events.emit(events.Note(text))
        return
    events.emit(
        events.Warned(
            f"The release was verified in part: it unpacks and its front end starts (Node {found['node']}); backend "
            "and migrations need a database to start, and there is none.",
            "pip install 'metamcp-deploy[local]' brings PostgreSQL and the platform's Node; then build again.",
        )
    )
