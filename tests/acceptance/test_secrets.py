"""No command shows or leaves a secret: everything printed, written and started is searched for marked ones."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config

from metamcp_deploy.config.project import Project

# What a user's machine may hold; each text is found by its middle part, however it is wrapped.
MARKS = {
    "BETTER_AUTH_SECRET of .env": "m4rk-dotenv-better-auth-secret-of-enough-length",
    "BETTER_AUTH_SECRET of the environment": "m4rk-environment-better-auth-secret-of-length",
    "app.env secret": "m4rk-oidc-client-secret",
    "DATABRICKS_CLIENT_SECRET": "m4rk-client-secret",
    "DATABRICKS_TOKEN": "dapi-m4rk-token",
    "npmrc": "m4rk-npm-auth-token",
    "proxy": "m4rk-proxy-password",
}
PROXY = f"http://somebody:{MARKS['proxy']}@127.0.0.1:9"
ENVIRONMENT = {
    "DATABRICKS_CLIENT_ID": "somebody",
    "DATABRICKS_CLIENT_SECRET": MARKS["DATABRICKS_CLIENT_SECRET"],
    "DATABRICKS_TOKEN": MARKS["DATABRICKS_TOKEN"],
    "HTTPS_PROXY": PROXY,
    "https_proxy": PROXY,
}
CONFIGURATION = """
version: 1
upstream: {url: %s, ref: %s}
app:
  env: {LOG_LEVEL: info, OIDC_CLIENT_SECRET: {secret: OIDC_CLIENT_SECRET}}
targets: {local: {embedded: true}}
default_target: local
"""
# The embedded workspace's own state, the one place for what a workspace keeps.
STATE = ("state.json", "workspace.json", "postgres/password")
# Programs that reach registries through the proxy: its address with the password is meant for them.
PROXIED = ("git", "node", "pnpm", "npm", "sh", "esbuild")


@dataclass
class Watch(threading.Thread):
    """Looks at the command line and environment of every process that starts while it runs."""

    marks: dict[str, str]
    found: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        known = {folder.name: b"" for folder in Path("/proc").glob("[0-9]*")}
        older = set(known)
        while not self.over.wait(0.02):
            for folder in Path("/proc").glob("[0-9]*"):
                if folder.name not in older:
                    known[folder.name] = self.look(folder, known.get(folder.name, b""))

    def look(self, folder: Path, before: bytes = b"", *, launcher_may: bool = True) -> bytes:
        """Judges a process unless its command line is as before; gives that."""
        try:
            # In this order: what a child still has of its parent is told apart by the parent's words.
            line = (folder / "cmdline").read_bytes()
            if line and line != before:
                variables = (folder / "environ").read_bytes().decode(errors="replace")
                self.judge(line.decode(errors="replace").split("\0"), variables, launcher_may)
        except OSError:
            return before
        return line

    def judge(self, words: list[str], variables: str, launcher_may: bool) -> None:
        line = " ".join(words)
        if "m4rk" in line:
            self.found.add(f"command line: {line}")
        if "m4rk" not in variables or "metamcp_deploy" in words:
            return
        for name, mark in self.marks.items():
            if mark not in variables:
                continue
            proxied = name == "proxy" and Path(words[0]).name.startswith(PROXIED)
            # The platform gives an app its secrets in its environment; the launcher starts itself anew without.
            given = name in ("BETTER_AUTH_SECRET of .env", "app.env secret") and launcher_may
            if not proxied and not (given and "start.mjs" in line):
                self.found.add(f"{name} in the environment of: {line}")


@dataclass
class World:
    """A user's folder, home and cache, and all that commands printed there."""

    folder: Path
    home: Path
    cache: Path
    environment: dict[str, str]
    printed: dict[str, str] = field(default_factory=dict)

    def run(
        self, *words: str, code: int | None = 0, also: dict[str, str] | None = None, bug: str = ""
    ) -> str:
        """Runs a command with --debug; gives what it wrote to stdout."""
        start = [sys.executable, "-m", "metamcp_deploy"]
        if bug:
            start = [sys.executable, "-c", bug, "metamcp_deploy"]
        done = subprocess.run(
            [*start, *words, "--debug"],
            cwd=self.folder,
            env={**self.environment, **(also or {})},
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.printed[" ".join(words) + (" (bug)" if bug else "")] = f"{done.stdout}\n{done.stderr}"
        if code is not None:
            assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def secrets_of_the_workspace(self) -> dict[str, str]:
        """What the embedded workspace made: passwords and client secrets of the user, the app and the superuser."""
        state = json.loads((self.folder / "build/local/state.json").read_text())
        found = dict(_leaves(state, ""))
        return {
            k: v for k, v in found.items() if k.endswith(("secret", "password", "token")) and len(v) >= 12
        }

    def written(self) -> Iterator[tuple[Path, bytes]]:
        """Every file below folder, cache and temporary files, unpacked where it is compressed."""
        for top in (self.folder, self.cache, Path(self.environment["TMPDIR"])):
            for base, folders, names in os.walk(top):
                folders[:] = [f for f in folders if f not in ("node_modules", "store", "tools", ".git")]
                for path in (Path(base, n) for n in names):
                    if not path.is_symlink() and path.is_file():
                        raw = path.read_bytes()
                        yield path, gzip.decompress(raw) if path.suffix == ".gz" else raw


def _leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}")
    elif isinstance(value, str):
        yield name, value


@pytest.fixture
def world(built_work: Project, tmp_path: Path, shared_cache: Path, isolated: Path) -> Iterator[World]:
    """A copy of the built sample in a folder whose user has secrets everywhere."""
    folder, cache, temporary = tmp_path / "work", tmp_path / "cache", tmp_path / "tmp"
    shutil.copytree(built_work.folder, folder, symlinks=True, copy_function=os.link)
    cache.mkdir()
    for kept in ("store", "tools"):  # what the network would have to bring
        if (shared_cache / kept).exists():
            (cache / kept).symlink_to(shared_cache / kept)
    temporary.mkdir()
    upstream = built_work.settings.upstream
    (folder / "metamcp.yaml").write_text(CONFIGURATION % (upstream.url, upstream.ref))
    (folder / ".env").write_text(f"BETTER_AUTH_SECRET={MARKS['BETTER_AUTH_SECRET of .env']}\n")
    npmrc = isolated / ".npmrc"
    before = npmrc.read_text() if npmrc.exists() else ""
    npmrc.write_text(f"{before}\n//registry.example.com/:_authToken={MARKS['npmrc']}\n")
    # Dependencies are installed anew, so that the package manager and its children are watched.
    layers = folder / "build/work/layers.json"
    known = json.loads(layers.read_text())
    layers.unlink()
    layers.write_text(json.dumps({**known, "dependencies": None}))
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "METAMCP_CACHE_DIR": str(cache),
        "TMPDIR": str(temporary),
    }
    made = World(folder, isolated, cache, environment)
    try:
        yield made
    finally:
        subprocess.run(
            [sys.executable, "-m", "metamcp_deploy", "local", "reset", "--auto-approve"],
            cwd=folder,
            env=os.environ | {"METAMCP_CACHE_DIR": str(cache)},
            check=True,
            timeout=120,
        )


def put_secret(world: World) -> str:
    """Makes the scope and the secret that app.env refers to, as an operator would; returns all credentials shown."""
    shown = world.run("local", "status", "--with-credentials", "-o", "json")
    found = json.loads(shown)
    client = WorkspaceClient(
        config=Config(host=found["url"], client_id=found["client_id"], client_secret=found["client_secret"])
    )
    client.secrets.create_scope("metamcp")
    client.secrets.put_secret("metamcp", "OIDC_CLIENT_SECRET", string_value=MARKS["app.env secret"])
    return shown


BUG = """
import os, sys
from metamcp_deploy.deployments import access
from metamcp_deploy.__main__ import main
def broken(*_):
    raise RuntimeError(" ".join(v for v in os.environ.values() if ("m4" + "rk") in v))
access.healthy = broken
sys.argv = ["metamcp-deploy", *sys.argv[2:]]
main()
"""


@pytest.mark.timeout(600)
def test_no_secret_is_shown_or_left(world: World) -> None:
    watch = Watch(MARKS)
    watch.start()
    other = {"BETTER_AUTH_SECRET": MARKS["BETTER_AUTH_SECRET of the environment"]}
    world.run("config", "show", "--origin")
    world.run("config", "show", "--set", "network.proxy=http://somebody:other-pass@127.0.0.1:9", "-o", "json")
    world.run("config", "check")
    world.run("config", "schema")
    world.run("init", "--force", "-C", str(world.folder / "build"))
    world.run("prepare")
    world.run("patch")
    world.run("patch", "--diff")
    world.run("patch", "--list")
    world.run("build", "-o", "json", "--log-format", "json")
    world.run("deploy", code=1)  # the secret of app.env is not there
    credentials = put_secret(world)
    world.run("bundle-deploy")
    world.run("bundle-deploy", code=1, also=other)  # differs from the stored one
    world.run("app-deploy", "-m", "first")
    world.run("deploy", "--plan")
    world.run("deploy", "-o", "json", "--log-format", "json")
    world.run("health", "-o", "json")
    world.run("logs", "-n", "500")
    world.run("local", "up")
    world.run("local", "status")
    token = json.loads(world.run("token", "-o", "json"))["token"]
    world.run("health", code=3, bug=BUG, also=other)
    watch.over.set()
    watch.join()
    for folder in Path("/proc").glob("[0-9]*"):
        watch.look(folder, launcher_may=False)  # what goes on running has got rid of them
    assert watch.found == set()

    made = world.secrets_of_the_workspace()
    assert len(made) >= 3
    superuser = json.loads(credentials)["superuser_uris"]["postgres"].partition("@")[0].rpartition(":")[2]
    wanted = {**MARKS, **made, "token": token, "superuser": superuser}
    shown = {k: v for k, v in world.printed.items() if not k.startswith(("token", "local status --with"))}
    assert leaks(wanted, ((command, text.encode()) for command, text in shown.items())) == []
    outside = [(p, c) for p, c in world.written() if not own_state(world, p)]
    assert any("bug-" in p.name for p, _ in outside), "no report of the bug"
    assert any(p.name == "app.log" for p, _ in outside)
    assert leaks(wanted, outside) == []
    world.run("local", "down")


def own_state(world: World, path: Path) -> bool:
    """Whether a file is the embedded workspace's own state, or what the user wrote; the first must be private."""
    if path in (world.folder / ".env", world.home / ".npmrc"):
        return True
    if path in [world.folder / "build/local" / name for name in STATE]:
        assert path.stat().st_mode & 0o077 == 0, path
        return True
    return False


def leaks(wanted: dict[str, str], texts: Any) -> list[str]:
    return [
        f"{name} in {where}"
        for where, content in texts
        for name, mark in wanted.items()
        if mark.encode() in content
    ]
