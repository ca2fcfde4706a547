"""Locates the package's own files and the user's caches, and provides the Jinja environment and the YAML reader."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamcp_deploy import disk
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    import jinja2

PACKAGE = Path(__file__).resolve().parent


@cache
def shipped(name: str) -> Path:
    """The package's `templates` or `overrides` folder: in the wheel, or at the top of a checkout."""
    in_wheel = PACKAGE / "_shipped" / name
    return in_wheel if in_wheel.is_dir() else PACKAGE.parent.parent / name


def cache_path() -> Path:
    """Where the cache folder is, or would be: METAMCP_CACHE_DIR, else the system's custom."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("METAMCP_CACHE_DIR")
    return Path(chosen).absolute() if chosen else user_cache_path("metamcp-deploy")


def cache_folder() -> Path:
    """The user's cache folder for this tool; made when missing.

    Raises:
        DeployError: FILE_ACCESS, when it cannot be made.
    """
    folder, chosen = cache_path(), os.environ.get("METAMCP_CACHE_DIR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        if disk.is_full(e):
            raise
        named = " (METAMCP_CACHE_DIR)" if chosen else ""
        raise DeployError(
            Code.FILE_ACCESS,
            f"The cache folder {folder}{named} cannot be made: {e.strerror}.",
            hint="Let METAMCP_CACHE_DIR name a folder that you can write to, or use --no-cache.",
        ) from e
    return folder


def layered(name: str, user_folder: Path | None = None) -> list[Path]:
    """The package's folder and then the user's, as far as they exist; what is later wins."""
    return [p for p in (shipped(name), user_folder) if p is not None and p.is_dir()]


def environment(user_templates: Path | None = None) -> jinja2.Environment:
    """Jinja over the package's and the user's templates; undefined names are errors, Python is out of reach.

    One for each choice of folders: compiling a template takes 20 ms. A file that changed is compiled again.
    """
    return _environment(tuple(layered("templates", user_templates)[::-1]))


@cache
def _environment(folders: tuple[Path, ...]) -> jinja2.Environment:
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(  # no HTML escaping: it would break TypeScript, SQL and YAML
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(name: str, values: dict[str, Any], user_templates: Path | None = None) -> str:
    """Renders one template.

    Raises:
        DeployError: TEMPLATE_INVALID, naming the file, the line and the problem.
    """
    import jinja2

    try:
        return environment(user_templates).get_template(name).render(values)
    except jinja2.TemplateError as e:
        where = f"{e.filename or name}:{e.lineno}" if isinstance(e, jinja2.TemplateSyntaxError) else name
        raise DeployError(
            Code.TEMPLATE_INVALID,
            f"Template {where} cannot be rendered: {e.message or type(e).__name__}.",
            hint=f"Correct {name} in your templates folder, or remove it to use the package's own.",
        ) from e


def parsed_json(text: str | bytes) -> Any:
    """The document in a JSON text that others wrote.

    Raises:
        ValueError: it is no JSON, or nested deeper than Python reads.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def parsed_yaml(text: str | bytes) -> Any:
    """The document in a YAML text, read by libyaml where PyYAML has it: ten times as fast.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    import yaml

    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 -- both are safe loaders


def files_below(folder: Path) -> Iterable[Path]:
    """All files and links below a folder, relative to it, sorted."""
    return sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
