"""The real upstream and a clean machine for the benchmarks: empty home, empty stores, nothing of the caller's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

REF = os.environ.get("METAMCP_TEST_REF", "v2.4.22")


def clone() -> Path:
    """The clone that METAMCP_TEST_UPSTREAM names."""
    named = os.environ.get("METAMCP_TEST_UPSTREAM")
    if not named:
        sys.exit("METAMCP_TEST_UPSTREAM must name a clone of MetaMCP")
    return Path(named)


def environment(scratch: Path, cache: str = "cache") -> dict[str, str]:
    """An environment with a home and a cache of its own below `scratch`; the package registries stay reachable."""
    home = scratch / "home"
    home.mkdir(parents=True, exist_ok=True)
    npmrc = Path.home() / ".npmrc"
    if npmrc.is_file() and not (home / ".npmrc").exists():
        shutil.copy(npmrc, home / ".npmrc")
    kept = {
        k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
    }
    return {
        **kept,
        "HOME": str(home),
        "METAMCP_CACHE_DIR": str(scratch / cache),
        "METAMCP_REPO_URL": str(clone()),
        "METAMCP_REF": REF,
        "NEXT_TELEMETRY_DISABLED": "1",
        "TURBO_TELEMETRY_DISABLED": "1",
        "NO_COLOR": "1",
    }


def tool(*words: str, cwd: Path, env: dict[str, str]) -> float:
    """Runs metamcp-deploy and returns the seconds it took; its output goes to `<cwd>/<words>.log`."""
    return timed([sys.executable, "-m", "metamcp_deploy", *words], cwd=cwd, env=env)


def timed(argv: Sequence[str], *, cwd: Path, env: dict[str, str]) -> float:
    """Runs a program and returns the seconds it took; ends the benchmark when it fails."""
    started = time.perf_counter()
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{argv} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return seconds
