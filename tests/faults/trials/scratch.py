"""A full disk below a serving app (scratch folder, log, source): requests, a restart, a start, a deployment."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import requests

from tests.faults.trials.bench import Bench, say, until

SIZE = "160m"


def mount(folder: Path, size: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "trial", str(folder)], check=True)


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder: Path, leave: int = 0) -> Path:
    """Fills the disk of a folder; gives the file to delete."""
    filler = folder / "filler"
    free = os.statvfs(folder)
    with filler.open("wb") as out:
        try:
            for _ in range(max(0, free.f_bavail * free.f_frsize - leave) // 65536 + (0 if leave else 2)):
                out.write(b"x" * 65536)
                out.flush()
        except OSError:
            pass
    return filler


def token(bench: Bench) -> dict[str, str]:
    done = bench.tool("token", "-t", "local", shown=False)
    return {"Authorization": f"Bearer {done.document.get('token') or done.out.strip()}"}


def url(bench: Bench) -> str:
    return str(bench.status()["apps"][0]["url"])


def asked(bench: Bench, path: str, headers: dict[str, str], at: str) -> tuple[int, str]:
    try:
        answer = requests.get(at + path, headers=headers, timeout=60)
    except requests.RequestException as e:
        return 0, type(e).__name__
    return answer.status_code, answer.text[:300]


def services(bench: Bench) -> dict[str, psutil.Process]:
    """Launcher, backend, front end by name."""
    found = {}
    for one in psutil.process_iter(["cmdline", "cwd", "environ"]):
        home = (one.info["environ"] or {}).get("HOME", "")
        words = " ".join(one.info["cmdline"] or [])
        if home.startswith(str(bench.work)):
            if "launcher" in words or "start.mjs" in words:
                found["launcher"] = one
            elif "index.mjs" in words:
                found["backend"] = one
            elif "server.js" in words or "next" in words:
                found["frontend"] = one
    return found


def run(bench: Bench) -> None:
    bench.sample()
    folder = bench.work / "build" / "local" / "apps" / "metamcp"
    mount(folder, SIZE)
    try:
        trial(bench, folder)
    finally:
        bench.tool("local", "down", shown=False)
        unmount(folder)


def trial(bench: Bench, folder: Path) -> None:
    bench.hold(bench.tool("deploy", "-t", "local").code == 0, "the first deployment failed")
    headers, at = token(bench), url(bench)
    used = os.statvfs(folder)
    say(f"used {(used.f_blocks - used.f_bavail) * used.f_frsize / 1e6:.0f} MB of {SIZE}")
    filler = fill(folder)
    for path in ("/metamcp/health", "/metamcp", "/", "/sign-in"):
        status, text = asked(bench, path, headers, at)
        say(f"full disk: GET {path}: {status}")
        bench.hold(status == 200, f"GET {path} on a full disk: {status} {text}")
    lines = len(bench.lines())
    health = bench.tool("health", "-t", "local")
    bench.hold(health.code == 0, "health is not well while everything is served")
    logs = bench.tool("logs", "-t", "local", shown=False)
    bench.hold(logs.code == 0, f"logs ended with {logs.code}")
    say(f"log: {lines} lines in the file, logs gave {len(logs.out.splitlines())}: {bench.lines()[-2:]}")
    for name in ("backend", "frontend"):
        found = services(bench).get(name)
        if found is None:
            bench.wrong(f"there is no {name}: {list(services(bench))}")
            continue
        os.kill(found.pid, signal.SIGKILL)
        time.sleep(8)
        path = "/metamcp" if name == "backend" else "/"
        status, text = asked(bench, path, headers, at)
        say(f"{name} killed on a full disk: GET {path}: {status} {text}")
        bench.hold(status == 200 or "disk" in text, f"{name}: the answer names no disk: {text}")
        shown = bench.tool("health", "-t", "local")
        bench.hold(
            shown.code == 0 or "disk" in str(shown.error),
            f"{name}: health does not name the disk: {shown.error}",
        )
        recent = bench.tool("logs", "-t", "local", shown=False).out.splitlines()[-12:]
        say(f"logs: {[line[-160:] for line in recent]}")
        bench.hold(status == 200 or "disk" in " ".join(recent), f"{name}: the log does not name the disk")
        filler.unlink()
        healed = until(90, lambda p=path: asked(bench, p, headers, at)[0] == 200, 1)
        bench.hold(healed, f"{name}: it did not heal after space was made")
        filler = fill(folder)
    status = bench.tool("status", "-t", "local")
    say(f"status: {status.document.get('health')}")
    bench.tool("stop", "-t", "local")
    filler = fill(folder)
    started = bench.tool("start", "-t", "local")
    bench.hold(
        started.code == 0 or "disk" in str(started.error), f"start does not name the disk: {started.error}"
    )
    deployed = bench.tool("deploy", "-t", "local", "--set", "app.env.LOG_LEVEL=debug")
    bench.hold(
        deployed.code == 0 or "disk" in str(deployed.error),
        f"deploy does not name the disk: {deployed.error}",
    )
    if filler.exists():
        filler.unlink()
    again = bench.tool("deploy", "-t", "local", "--set", "app.env.LOG_LEVEL=debug")
    bench.hold(again.code == 0, f"deploy did not recover: {again.error}")
