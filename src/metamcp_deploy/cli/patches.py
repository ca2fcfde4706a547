"""`patch --list`: the patches and overrides as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metamcp_deploy.cli.options import Run


def shown(run: Run) -> None:
    """Shows what is done to upstream's tree: patches with their matches, and overrides."""
    from dataclasses import asdict

    from metamcp_deploy.stages import patch as stage

    patches, overrides = stage.listed(run.project), stage.listed_overrides(run.project)
    if run.output == "json":
        run.console.data(
            {"patches": [asdict(p) for p in patches], "overrides": [asdict(o) for o in overrides]}
        )
        return
    unknown = "-"

    def whose(packaged: bool) -> str:
        return "" if packaged else " (yours)"

    run.console.table(
        ["patch", "matches", "belongs upstream", "what"],
        [
            [
                p.id + whose(p.packaged),
                unknown if p.matches is None else p.matches,
                p.upstream,
                f"{p.what} {p.why}",
            ]
            for p in patches
        ],
    )
    run.console.raw("")
    run.console.table(
        ["override", "does"],
        [
            [o.path + whose(o.packaged), {None: unknown, True: "replaces", False: "adds"}[o.replaces]]
            for o in overrides
        ],
    )
