"""Files that users' templates may replace, rendered and checked before anything relies on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from metamcp_deploy import resources
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError

PLACEHOLDER = re.compile(r"\$\{[^}\n]*\}?|\{\{.*|\{%.*")
_SHORTEST = 8  # characters of a secret that is searched for: a shorter one is in many files by chance


def parsed(name: str, text: str, allowed: re.Pattern[str] | None = None) -> dict[str, Any]:
    """The document that a template rendered to.

    Args:
        name: of the template.
        text: what it rendered to.
        allowed: placeholders that somebody resolves later; None for none.

    Raises:
        DeployError: BUNDLE_INVALID for what is no YAML mapping, and for a placeholder that nobody resolves.
    """
    import yaml

    try:
        document = resources.parsed_yaml(text)
    except yaml.YAMLError as e:
        raise invalid(name, f"it is no valid YAML: {e}") from e
    if not isinstance(document, dict):
        raise invalid(name, "it is no mapping")
    for where, value in _strings(document):
        for found in PLACEHOLDER.findall(value):
            if not (allowed and allowed.match(found)):
                raise invalid(name, f"{where} holds the placeholder {found!r}, which nobody fills in")
    return document


def invalid(name: str, problem: str) -> DeployError:
    """The error for a template that renders to something wrong."""
    return DeployError(
        Code.BUNDLE_INVALID,
        f"templates/{name} does not render to a valid file: {problem}.",
        hint=f"Correct {name} in your templates folder, or remove it to use the package's own.",
    )


def block(value: Any) -> str:
    """A value as lines of YAML, for a template to indent."""
    import yaml

    return yaml.safe_dump(value, sort_keys=False, width=1000, allow_unicode=True).strip() if value else ""


def granted(permissions: tuple[dict[str, str], ...]) -> dict[str, Any]:
    """Permissions as a field of the thing that they are on; no field without any."""
    return {"permissions": list(permissions)} if permissions else {}


def check_secrets(project: Project, files: Mapping[str, bytes]) -> None:
    """Refuses a file that holds the value of a secret this run knows.

    Raises:
        DeployError: BUNDLE_INVALID, naming file and secret, not the value.
    """
    known = {n: s.reveal().encode() for n, s in project.secrets.items() if len(s.reveal()) >= _SHORTEST}
    for path, content in files.items():
        for name, value in known.items():
            if value in content:
                raise DeployError(
                    Code.BUNDLE_INVALID,
                    f"{path} would hold the value of {name}; a bundle never carries secrets.",
                    hint=f"Find where {name} gets in (overrides, templates, app.env), and use a secret reference.",
                )


def _strings(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a document with its path, keys included."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, item in value.items():
            at = f"{where}.{key}" if where else str(key)
            yield at, str(key)
            yield from _strings(item, at)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _strings(item, f"{where}[{i}]")
