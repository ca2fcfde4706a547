"""Real limits of the machine: no more processes for a user, and full disks for each command and each folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults.trials.bench import Bench, Done, say
from tests.faults.trials.scratch import fill, mount, unmount

UID = 54321
COMMANDS = {
    "prepare": ("prepare",),
    "patch": ("patch",),
    "build": ("build",),
    "up": ("local", "up"),
    "deploy": ("deploy", "-t", "local"),
    "plan": ("plan", "-t", "local"),
    "demo": ("demo",),
}


def run(bench: Bench) -> None:
    bench.sample()
    bench.hold(bench.tool("deploy", "-t", "local").code == 0, "the first deployment failed")
    bench.reset()
    processes(bench)
    disks(bench)


def processes(bench: Bench) -> None:
    """As another user (root has no such limit), with ever fewer processes and threads."""
    home = Path(tempfile.mkdtemp(prefix="trial-home-"))
    home.chmod(0o777)
    cache = home / "cache"
    shutil.copytree(bench.cache, cache, symlinks=True)
    upstream = home / "upstream"
    shutil.copytree(bench.folder / "upstream", upstream)
    subprocess.run(["chown", "-R", f"{UID}:{UID}", str(home)], check=True)
    env = {**bench.env, "HOME": str(home), "METAMCP_CACHE_DIR": str(cache), "METAMCP_REPO_URL": str(upstream)}
    for limit in (4, 12, 30, 60):
        for name in ("prepare", "up", "deploy"):
            work = Path(tempfile.mkdtemp(prefix="w-", dir=home))
            os.chown(work, UID, UID)
            words = COMMANDS[name]
            argv = [
                "prlimit",
                f"--nproc={limit}",
                "setpriv",
                f"--reuid={UID}",
                f"--regid={UID}",
                "--clear-groups",
                "--inh-caps=+dac_read_search",  # this Python may stand in root's home
                "--ambient-caps=+dac_read_search",
                sys.executable,
                "-m",
                "metamcp_deploy",
                *words,
                "-o",
                "json",
            ]
            done = ended(argv, work, env, words)
            judged(bench, done, f"nproc={limit} {name}", "ulimit -u")
            subprocess.run(
                [*argv[2:8], sys.executable, "-m", "metamcp_deploy", "local", "reset", "--auto-approve"],
                cwd=work,
                env=env,
                capture_output=True,
                timeout=120,
            )
            shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


def ended(
    argv: list[str], work: Path, env: dict[str, str], words: tuple[str, ...], timeout: float = 240
) -> Done:
    import time

    began = time.monotonic()
    try:
        done = subprocess.run(
            argv,
            cwd=work,
            env=env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            start_new_session=True,
        )
        code, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as e:
        code, out, err = (
            99,
            "",
            (e.stderr or b"").decode(errors="replace") if isinstance(e.stderr, bytes) else str(e.stderr),
        )
    return Done(words, code, out, err, time.monotonic() - began)


def judged(bench: Bench, done: Done, what: str, *words: str) -> None:
    say(f"{what}: {done}")
    if done.code == 0:
        return
    if done.code == 99:
        bench.wrong(f"{what}: hangs: {done.err[-300:]}")
    elif done.code != 1 or "Traceback" in done.err or not done.error:
        bench.wrong(f"{what}: exit {done.code}: {(done.out + done.err)[-700:]}")
    elif not any(word in str(done.error) for word in words):
        bench.wrong(f"{what}: does not name the cause: {done.error}")


def disks(bench: Bench) -> None:
    """A small disk as the working folder, as the cache, as TMPDIR, as the home; with so much room."""
    for where in ("work", "cache", "tmp"):
        for room in (0, 8 << 20):
            for name in ("prepare", "up", "deploy"):
                disk(bench, where, room, name)


def disk(bench: Bench, where: str, room: int, name: str) -> None:
    top = Path(tempfile.mkdtemp(prefix="full-", dir=bench.folder))
    top.chmod(0o755)
    places = {n: top / n for n in ("work", "cache", "tmp")}
    for place in places.values():
        place.mkdir()
    if where != "cache":
        places["cache"] = bench.cache
    mount(top / where, "400m")
    try:
        if where == "cache":
            shutil.copytree(bench.cache / "mirrors", top / "cache" / "mirrors")
        fill(top / where, leave=room)
        env = {**bench.env, "METAMCP_CACHE_DIR": str(places["cache"])}
        if where == "tmp":
            env["TMPDIR"] = str(places["tmp"])
        words = COMMANDS[name]
        argv = [sys.executable, "-m", "metamcp_deploy", *words, "-o", "json"]
        done = ended(argv, places["work"], env, words)
        judged(bench, done, f"{where} with {room >> 20} MB: {name}", str(top / where))
        if done.code:
            (top / where / "filler").unlink(missing_ok=True)
            again = ended(argv, places["work"], env, words)
            if again.code and "full" not in str(again.error):
                bench.wrong(f"{where} with {room >> 20} MB: {name} does not recover: {again}")
        subprocess.run(
            [sys.executable, "-m", "metamcp_deploy", "local", "reset", "--auto-approve"],
            cwd=places["work"],
            env=env,
            capture_output=True,
            timeout=120,
        )
    finally:
        unmount(top / where)
        shutil.rmtree(top, ignore_errors=True)
