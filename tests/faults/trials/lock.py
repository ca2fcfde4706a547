"""The lock: five minutes without a sign of life, and `--force-lock`, while the stopped holder wakes afterwards."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from tests.deploy.tiny_app import write_databricks_yml
from tests.faults.fault_world import World, elsewhere, root
from tests.faults.trials.bench import Bench, Done, say, until

RUNS = 24
SEED = "a stopped holder wakes"


def run(bench: Bench) -> None:
    """First what --force-lock leads to, many times; then the expiry, once, with the real clock."""
    world = World.up(bench.folder / "world")
    try:
        forced(bench, world)
        expired(bench, world)
    finally:
        world.down()


def tenant(world: World, name: str) -> tuple[Project, Project]:
    """A target in two folders, as two machines have it."""
    hers = world.tenant(name)
    his = elsewhere(hers)
    stated = {"app": {"name": name}, "workspace": {"host": world.running.url}}
    (hers.folder / "metamcp.yaml").write_text(json.dumps({"version": 1, "targets": {"dev": stated}}))
    return hers, his


def act(bench: Bench, project: Project, value: str, *more: str) -> Any:
    """`app-deploy` with a setting that tells who deployed."""
    dump = project.settings.model_dump(by_alias=True)
    dump["app"]["env"] = {"WHOSE": value}
    write_databricks_yml(replace(project, settings=Settings.model_validate(dump)))
    stated = {"app": {"name": project.settings.app.name, "env": {"WHOSE": value}}}
    stated["workspace"] = {"host": project.settings.workspace.host}
    (project.folder / "metamcp.yaml").write_text(json.dumps({"version": 1, "targets": {"dev": stated}}))
    words = ("app-deploy", "-t", "dev", *more)
    child = bench.started(*words, cwd=project.folder, **login())
    return child, words


def login() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k.startswith("DATABRICKS_")}


def whose(world: World, name: str) -> str:
    """What the app that runs was deployed with."""
    import requests

    app = world.ask("GET", f"apps/{name}")
    answer = requests.get(f"{app['url']}/env", headers=world.headers(), timeout=60)
    return str(answer.json().get("WHOSE"))


def place(world: World, project: Project) -> Path:
    return world.owner.local / "files" / root(project).removeprefix("/Workspace/") / "state" / "deploy.lock"


def content(world: World, project: Project) -> str:
    try:
        return place(world, project).read_text()
    except OSError:
        return ""


def forced(bench: Bench, world: World) -> None:
    """A is stopped while it holds the lock; B takes it and deploys; A wakes before, while or after B deploys."""
    chance, found = random.Random(SEED), Counter[str]()
    hers, his = tenant(world, "forced")
    for project in (hers,):
        words = ("bundle-deploy", "-t", "dev")
        done = bench.ended(bench.started(*words, cwd=project.folder, **login()), *words)
        bench.hold(done.code == 0, "the first bundle-deploy failed")
        shutil.copytree(hers.state, his.state, dirs_exist_ok=True)
    for number in range(RUNS):
        ada, ben = f"ada-{number}", f"ben-{number}"
        one, _ = act(bench, hers, ada)
        if not until(60, lambda: place(world, hers).exists(), 0.01):
            bench.wrong("no lock was seen")
        time.sleep(held := chance.uniform(0, 1.2))
        if one.poll() is not None:
            say(str(Done(("A",), one.returncode, *one.communicate(), 0)))
            found["A had ended before it was stopped"] += 1
            continue
        os.kill(one.pid, signal.SIGSTOP)
        before = content(world, hers)
        other, _ = act(bench, his, ben, "--force-lock")
        until(
            60,
            lambda old=before, ben=other: content(world, hers) not in ("", old) or ben.poll() is not None,
            0.01,
        )
        time.sleep(asleep := chance.choice((0.0, 0.5, 1.0, 1.6, 2.0, 2.5, 3.0, 4.0, 6.0, 9.0)))
        os.kill(one.pid, signal.SIGCONT)
        other_out, other_err = other.communicate(timeout=300)
        out, err = one.communicate(timeout=300)
        a = Done(("A",), one.returncode, out, err, 0)
        b = Done(("B",), other.returncode, other_out, other_err, 0)
        runs = whose(world, hers.settings.app.name)
        verdict = judged(a, b, runs, ada, ben)
        found[verdict] += 1
        say(
            f"{number:>2}: A stopped {held:.2f} s after taking it, awake {asleep:4.1f} s after B took it: "
            f"A {a.code} {a.error.get('code')}, B {b.code} {b.error.get('code')}, {runs} runs: {verdict}"
        )
        if verdict.startswith("BROKEN"):
            bench.wrong(f"run {number}: {verdict}: {a} {b}")
        if place(world, hers).exists():
            bench.wrong(f"run {number} left a lock")
            place(world, hers).unlink()
    say("\n".join(f"{count:>3} × {what}" for what, count in found.most_common()))


def judged(a: Done, b: Done, runs: str, ada: str, ben: str) -> str:
    """What the two reported, against what runs."""
    if a.code == 3 or b.code == 3 or "Traceback" in a.err + b.err:
        return "BROKEN: a bug"
    if a.code == 0 and b.code == 0:
        return (
            "A came first, both said the truth"
            if runs == ben
            else "BROKEN: A deployed over what B reported, exit 0"
        )
    if b.code == 0 and runs == ben:
        return f"A lost ({a.error.get('code')}), B runs"
    if b.code == 0 and runs == ada:
        return f"window: A deployed over B's, but said so ({a.error.get('code')})"
    if a.code == 0:
        return (
            f"A runs, B said {b.error.get('code')}" if runs == ada else "BROKEN: A reported what does not run"
        )
    return f"both failed: {a.error.get('code')}, {b.error.get('code')}"


def expired(bench: Bench, world: World) -> None:
    """A is stopped for longer than five minutes; B asks without force: refused, then it takes the lock; A wakes."""
    hers, his = tenant(world, "expired")
    words = ("bundle-deploy", "-t", "dev")
    bench.ended(bench.started(*words, cwd=hers.folder, **login()), *words)
    shutil.copytree(hers.state, his.state, dirs_exist_ok=True)
    one, words_a = act(bench, hers, "ada")
    until(60, lambda: place(world, hers).exists(), 0.01)
    time.sleep(0.5)
    os.kill(one.pid, signal.SIGSTOP)
    began, last = time.monotonic(), None
    while time.monotonic() - began < 420:
        other, words_b = act(bench, his, "ben")
        out, err = other.communicate(timeout=300)
        last = Done(words_b, other.returncode, out, err, 0)
        since = time.monotonic() - began
        say(f"{since:.0f} s after the stop: {last}")
        if last.code == 0:
            bench.hold(since > 290, f"the lock was taken after {since:.0f} s already")
            break
        bench.hold(last.error.get("code") == "lock_held", f"refused as {last.error.get('code')}")
        time.sleep(max(0.0, 20 if since > 270 else 120))
    bench.hold(last and last.code == 0, "the lock did not expire within 7 minutes")
    warned = [line for line in (last.err if last else "").splitlines() if "lock" in line]
    say(f"B said: {warned}")
    os.kill(one.pid, signal.SIGCONT)
    woken = bench.ended(one, *words_a)
    bench.hold(woken.code == 1 and woken.error.get("code") == "lock_lost", "A did not notice")
    bench.hold(whose(world, "expired") == "ben", "A deployed over B's")
    bench.hold(not place(world, hers).exists(), "a lock is left")
