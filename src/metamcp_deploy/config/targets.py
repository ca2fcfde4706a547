"""Which targets there are and which one is meant. A workspace that nobody named is never chosen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metamcp_deploy.config import document
from metamcp_deploy.config.problems import DEFAULT, FILE, Origin, Problem, did_you_mean, failure
from metamcp_deploy.config.tree import Node, at
from metamcp_deploy.errors import Code, DeployError

LOCAL = "local"
REMOTE = "default"


def target_names(folder: Path) -> list[str]:
    """Names of all targets, for shell completion: fast, without pydantic, and never an error."""
    try:
        tree = document.read(folder)
    except (DeployError, OSError):
        tree = None
    stated = in_file(tree)
    return [*stated, *implicit(stated, None)]


def in_file(tree: Node | None) -> list[str]:
    """The targets that the file names, in its order."""
    section = at(tree, ["targets"])
    return list(section.value) if section and isinstance(section.value, dict) else []


def implicit(stated: list[str], dotenv_target: str | None) -> list[str]:
    """The targets that exist without being in the file.

    `local`, unless the file has its own; and where the file names no target at all, one that takes everything from
    the top of the file and the environment: `default`, or what TARGET in `.env` calls it.
    """
    names = [] if LOCAL in stated else [LOCAL]
    if not stated and dotenv_target != LOCAL:
        names.append(dotenv_target or REMOTE)
    return names


def choose(
    tree: Node | None,
    flag: str | None,
    environment: Mapping[str, Origin],
    dotenv: Mapping[str, Origin],
    remote_named: bool,
    folder: Path,
) -> tuple[str, Origin]:
    """The target that is meant, and who said so.

    Args:
        tree: of metamcp.yaml, if there is one.
        flag: of `-t`.
        environment: at most one target name, from DATABRICKS_BUNDLE_TARGET.
        dotenv: target names in `.env`.
        remote_named: whether `-p`, `.env` or the file's top names a workspace; counts where the file names no target.
        folder: for messages.

    Raises:
        DeployError: TARGET_UNKNOWN, or CONFIG_CONFLICT for two names in `.env`.
    """
    if len(dotenv) > 1:
        (one, where), (other, also) = list(dotenv.items())[:2]
        text = f"names `{one}`, but {also} names `{other}`."
        raise failure(
            [Problem(where, text)], Code.CONFIG_CONFLICT, "Keep one of them, or name the target with -t."
        )
    stated = in_file(tree)
    known = [*stated, *implicit(stated, next(iter(dotenv), None))]
    default = at(tree, ["default_target"])
    named: tuple[str, Origin] | None = None
    if flag is not None:
        named = flag, Origin("flag", name="-t")
    elif environment:
        named = next(iter(environment.items()))
    elif dotenv:
        named = next(iter(dotenv.items()))
    elif default and default.value:
        named = str(default.value), default.origin
    if named:
        return _known(named, known, folder)
    return _unnamed(stated, tree, remote_named, folder)


def _known(named: tuple[str, Origin], known: list[str], folder: Path) -> tuple[str, Origin]:
    name, origin = named
    if name in known:
        return named
    said = "" if origin.name == "-t" else f" ({origin})"
    if not document.there(folder / FILE):
        raise DeployError(
            Code.TARGET_UNKNOWN,
            f"There is no target `{name}`{said}: {folder / FILE} does not exist{document.above(folder)}. "
            f"Without it there is: {', '.join(known)}.",
            hint="Run the command in the project's folder, or name that with -C FOLDER. "
            "To begin a project: metamcp-deploy init",
        )
    raise DeployError(
        Code.TARGET_UNKNOWN,
        f"There is no target `{name}`{said} in {folder / FILE}.{did_you_mean(name, known)}",
        hint=f"Name one of them with -t: {', '.join(known)}. Or add `{name}` below `targets` in {FILE}.",
    )


def _unnamed(stated: list[str], tree: Node | None, remote_named: bool, folder: Path) -> tuple[str, Origin]:
    if len(stated) == 1:
        section = at(tree, ["targets", stated[0]])
        return stated[0], section.origin if section else DEFAULT
    if stated:
        raise DeployError(
            Code.TARGET_UNKNOWN,
            f"{folder / FILE} has several targets ({', '.join(stated)}) and nothing says which one is meant.",
            hint=f"Name one, such as -t {stated[0]}, or set default_target in {FILE}.",
        )
    return (REMOTE if remote_named else LOCAL), DEFAULT
