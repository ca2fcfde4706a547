"""Five targets deployed one after the other from one build; then a plan against a workspace with the platform's times.

    python -m benchmarks.targets

The upstream is that of METAMCP_TEST_UPSTREAM, or, without it, the sample that ships with the package (two minutes).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TARGETS = ("one", "two", "three", "four", "five")
LOCAL = ("prepare", "patch", "build")
PLAN_SECONDS = 5.0
RUNS = 5


def configuration() -> str:
    """Five targets of one embedded workspace, each with an app, a database and secrets of its own."""
    rows = [f"  {name}: {{embedded: true, app: {{name: metamcp-{name}}}}}" for name in TARGETS]
    return "version: 1\ntargets:\n" + "\n".join(rows) + "\n"


def stages(target: str, cwd: Path, env: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Outcomes of a deployment, by stage."""
    argv = [sys.executable, "-m", "metamcp_deploy", "deploy", "-t", target, "-o", "json"]
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(f"deploy -t {target} ended with {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}")
    return {row["stage"]: row for row in json.loads(done.stdout)["stages"]}


def use_sample(scratch: Path) -> None:
    """Makes the sample the upstream, where none is named."""
    from metamcp_deploy.upstream.sample import TAG, sample_repository

    if "METAMCP_TEST_UPSTREAM" not in os.environ:
        os.environ["METAMCP_TEST_UPSTREAM"] = str(sample_repository(scratch / "upstream"))
        os.environ["METAMCP_TEST_REF"] = TAG


def deployed(work: Path, env: dict[str, str]) -> bool:
    """Deploys all targets; whether nothing was built or packed after the first."""
    releases, again = set(), []
    for number, target in enumerate(TARGETS):
        found = stages(target, work, env)
        seconds = {stage: round(row["seconds"], 1) for stage, row in found.items() if row["ran"]}
        releases.add(found["app-deploy"]["facts"]["release"])
        print(f"{target}: {', '.join(f'{stage} {s} s' for stage, s in seconds.items())}", flush=True)
        again += [f"{target}: {stage}" for stage in LOCAL if number and found[stage]["ran"]]
    print(f"releases: {', '.join(sorted(releases))}; made again: {', '.join(again) or 'nothing'}")
    return len(releases) == 1 and not again


def planned(work: Path, env: dict[str, str]) -> float:
    """Seconds of a plan of a whole process, the median of a few, against the platform's own times."""
    from upstream import tool

    tool("local", "down", cwd=work, env=env)
    tool("local", "up", "--realistic", cwd=work, env=env)
    before = os.times()
    times = sorted(tool("plan", "-t", TARGETS[0], cwd=work, env=env) for _ in range(RUNS))
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    told = f"median of {RUNS}, slowest {times[-1]:.1f} s; {used / RUNS:.1f} s of computing"
    print(f"plan: {times[RUNS // 2]:.1f} s ({told}; at most {PLAN_SECONDS} s)")
    return times[RUNS // 2]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="metamcp-benchmark-") as named:
        scratch = Path(named)
        use_sample(scratch)
        from upstream import environment, tool

        work, env = scratch / "work", environment(scratch)
        work.mkdir()
        (work / "metamcp.yaml").write_text(configuration())
        try:
            once = deployed(work, env)
            quick = planned(work, env) <= PLAN_SECONDS
        finally:
            tool("local", "reset", "--auto-approve", cwd=work, env=env)
    sys.exit(0 if once and quick else 1)


main()
