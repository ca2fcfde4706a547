"""Flipped bytes, cut files and missing files in each cache and store; then `build` and `local up`."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.faults.trials.bench import Bench, Done, clear, say

SEED = "corrupted"
Damage = Callable[[Path], None]


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 2, min(len(content), len(content) // 2 + 16)):
        content[at] ^= 0xFF
    rewritten(path, bytes(content))


def cut(path: Path) -> None:
    rewritten(path, path.read_bytes()[: path.stat().st_size // 2])


def gone(path: Path) -> None:
    path.unlink()


def rewritten(path: Path, content: bytes) -> None:
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_bytes(content)
    path.chmod(mode)


DAMAGES: dict[str, Damage] = {"flipped": flipped, "cut": cut, "gone": gone}


def files(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(
        p for p in folder.rglob(pattern) if p.is_file() and not p.is_symlink() and p.stat().st_size > 64
    )


def some(found: list[Path], share: float) -> list[Path]:
    return random.Random(SEED).sample(found, max(1, int(len(found) * share))) if found else []


def run(bench: Bench) -> None:
    bench.sample()
    bench.hold(built(bench).code == 0, "the first build failed")
    release = bench.tool("release", "show", shown=False).document.get("id")
    places: dict[str, Callable[[], Iterable[Path]]] = {
        "the package store": lambda: some(files(bench.cache / "store"), 0.3),
        "pnpm": lambda: [
            p for p in files(bench.cache / "tools") if p.name in ("pnpm.cjs", "package.json", "worker.js")
        ],
        "the mirror": lambda: (
            files(bench.cache / "mirrors", "*.pack") + files(bench.cache / "mirrors", "*.idx")
        ),
        "kept releases": lambda: some(files(bench.cache / "releases"), 0.5),
    }
    for place, victims in places.items():
        for name, damage in DAMAGES.items():
            say(f"--- {place}: {name}")
            hit = list(victims())
            for path in hit:
                damage(path)
            say(f"    {len(hit)} files")
            fresh(bench, keep_releases=place == "kept releases")
            done = built(bench)
            if done.code != 0:
                bench.hold(done.code == 1 and done.error.get("hint"), f"{place} {name}: no expected failure")
                say(f"    detail: {str(done.error.get('detail'))[-700:]}")
                done = built(bench)
                bench.wrong(f"{place} {name}: the first build failed; the second ended with {done.code}")
            if done.code:
                clear(bench.cache)
                built(bench)
                continue
            now = bench.tool("release", "show", shown=False).document.get("id")
            bench.hold(now == release, f"{place} {name}: another release: {now}, not {release}")
    work(bench, str(release))
    programs(bench)


def built(bench: Bench, *more: str) -> Done:
    """The stages up to a release; the first that fails, else the last."""
    for stage in ("prepare", "patch", "build"):
        done = bench.tool(stage, *(more if stage == "build" else ()), shown=stage == "build")
        if done.code:
            say(str(done))
            break
    return done


def fresh(bench: Bench, keep_releases: bool) -> None:
    """A folder without a build, so that the caches are used."""
    clear(bench.work / "build")
    if not keep_releases:
        clear(bench.cache / "releases")


def work(bench: Bench, release: str) -> None:
    """The work folder, whose layers are taken for good by their key."""
    for name, damage in DAMAGES.items():
        say(f"--- installed packages in build/work: {name}")
        fresh(bench, keep_releases=False)
        built(bench)
        found = files(bench.work / "build" / "work" / "tree" / "node_modules" / ".pnpm", "*.js")
        for path in some(found, 0.3):
            damage(path)
        clear(bench.cache / "releases")
        readme = bench.work / "build" / "state" / "build.json"
        readme.unlink()
        (bench.work / "build" / "work" / "layers.json").exists()
        done = bench.tool("build", "--set", "build.source_maps=true")
        if done.code:
            say(f"    detail: {str(done.error.get('detail'))[-500:]}")
            again = bench.tool("build", "--set", "build.source_maps=true")
            bench.hold(
                again.code == 0 or "build/work" in str(done.error),
                f"build/work {name}: no way out: {done.error}",
            )


def programs(bench: Bench) -> None:
    """Copies of PostgreSQL's programs that root's runs use."""
    for copy in Path("/var/tmp").glob("metamcp-deploy-*/pginstall-*"):
        say(f"{copy}")
    shutil.which("node")
