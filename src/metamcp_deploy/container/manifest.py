"""An app's manifest, app.yaml: its command and its environment entries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metamcp_deploy import resources


class FailedDeploymentError(Exception):
    """Why a deployment failed: the message the platform would show."""


@dataclass(frozen=True)
class Manifest:
    """An app.yaml: the command, and env entries `{"name", "value" or "value_from"}`."""

    command: tuple[str, ...] = ()
    env: tuple[dict[str, str], ...] = field(default_factory=tuple)


def read(source: Path) -> Manifest:
    """Reads app.yaml or app.yml; without one, an empty manifest.

    Raises:
        FailedDeploymentError: it is not what the platform reads.
    """
    import yaml

    path = next((p for n in ("app.yaml", "app.yml") if (p := source / n).is_file()), None)
    if path is None:
        return Manifest()
    try:
        data = resources.parsed_yaml(path.read_text(encoding="utf-8")) or {}
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
