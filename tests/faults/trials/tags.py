"""A tag that moves: between `prepare` and `deploy`, and between the deployments of two machines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.faults.trials.bench import Bench, say

TAG = "v2.4.22"


def run(bench: Bench) -> None:
    clone = bench.sample()
    bench.git("tag", "-f", TAG, "sample-v1^{}", cwd=clone)
    first = bench.git("rev-parse", f"{TAG}^{{}}", cwd=clone)
    bench.env["METAMCP_REF"] = TAG
    for words in (("prepare",), ("patch",), ("build",)):
        bench.hold(bench.tool(*words).code == 0, f"{words} failed")
    second = moved(bench, clone)
    say(f"{TAG} moved from {first} to {second}")
    for words in (("plan", "-t", "local"), ("deploy", "-t", "local")):
        done = bench.tool(*words)
        text = done.out + done.err
        say(f"    says: {[line for line in text.splitlines() if 'mov' in line or second[:7] in line][:4]}")
        bench.hold("moved" in text, f"{words[0]} does not say that the tag moved")
        bench.hold(first[:7] in text and second[:7] in text, f"{words[0]} does not name both commits")
    lock = bench.tool("prepare", "--set", f"upstream.commit={first}")
    bench.named(lock, "ref_moved", first, second)
    other_machine(bench, clone)


def moved(bench: Bench, clone: Path) -> str:
    readme = clone / "README.md"
    readme.write_text((readme.read_text() if readme.exists() else "") + "moved\n")
    source = clone / "apps" / "backend" / "src" / "lib" / "auth.ts"
    source.write_text(source.read_text() + "\nexport const moved = true;\n")
    bench.git("add", "-A", cwd=clone)
    bench.git("commit", "-qm", "Another commit under the same tag", cwd=clone)
    bench.git("tag", "-f", TAG, cwd=clone)
    return bench.git("rev-parse", "HEAD", cwd=clone)


def other_machine(bench: Bench, clone: Path) -> None:
    """Deployed by one machine at one commit; another one, with a cache of its own, deploys the tag after it moved."""
    status = bench.tool("status", "-t", "local").document
    say(f"running: {status.get('release')} {status.get('deployment', {})}")
    there = moved(bench, clone)
    second = replace(
        bench, folder=bench.folder, env={**bench.env, "METAMCP_CACHE_DIR": str(bench.folder / "cache-2")}
    )
    second.cache = bench.folder / "cache-2"
    second.env["METAMCP_CACHE_DIR"] = str(second.cache)
    for name in ("upstream", "metamcp", "bundle", "state", "work"):
        (bench.work / "build" / name).rename(bench.folder / f"gone-{name}") if (
            bench.work / "build" / name
        ).exists() else None
    done = second.tool("deploy", "-t", "local")
    text = done.out + done.err
    say(f"    says: {[line for line in text.splitlines() if 'mov' in line or there[:7] in line][:6]}")
    bench.hold(
        "deployed it as" in text, "another machine's deploy does not say that the tag moved since what runs"
    )
    bench.tool("history", "-t", "local")
    say(str(second.tool("history", "-t", "local", shown=False).out[:1500]))
