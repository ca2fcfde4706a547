"""Puts the layers of settings together: flag, environment, `.env`, target, top of the file, default."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy.config import document, rules, sources, targets
from metamcp_deploy.config import flags as flag_layer
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.origin import Origin, Problem, failure
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.reading import LOGIN, FileTarget, file_target, read_targets, settings_of
from metamcp_deploy.config.tree import Node, at, merge, without
from metamcp_deploy.errors import Code, DeployError

_NOTHING: Mapping[str, str] = {}
_LOGIN_NAMES = frozenset(
    ("DATABRICKS_CONFIG_PROFILE", "DATABRICKS_HOST", "METAMCP_WORKSPACE_PROFILE", "METAMCP_WORKSPACE_HOST")
)


@dataclass(frozen=True)
class Loaded:
    """A project, the tree its settings were made of, and who chose the target."""

    project: Project
    tree: Node
    chosen: Origin


def load(
    folder: Path,
    *,
    target: str | None = None,
    flags: Mapping[str, str] = _NOTHING,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    app: str | None = None,
    profile: str | None = None,
    use_cache: bool = True,
) -> Project:
    """The working folder with the settings of one target.

    Args:
        folder: holds metamcp.yaml and `.env`, if there are any.
        target: of `-t`.
        flags: dotted key → value, from options of their own.
        sets: words of `--set`.
        environ: the process's environment when None.
        app: of `--app`: an app without a metamcp.yaml; no file is read then, except with a target.
        profile: of `-p`.
        use_cache: False with `--no-cache`.

    Raises:
        DeployError: CONFIG_INVALID with all problems at once, CONFIG_CONFLICT, TARGET_UNKNOWN, TOOL_VERSION,
            FILE_ACCESS.
    """
    return assemble(
        folder,
        target=target,
        flags=flags,
        sets=sets,
        environ=environ,
        app=app,
        profile=profile,
        use_cache=use_cache,
    ).project


def assemble(
    folder: Path,
    *,
    target: str | None = None,
    flags: Mapping[str, str] = _NOTHING,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    app: str | None = None,
    profile: str | None = None,
    use_cache: bool = True,
) -> Loaded:
    """As `load`, with what `config show --origin` needs."""
    folder = existing(folder)
    alone = app is not None and target is None
    given = dict(flags) | {
        k: v for k, v in (("app.name", app), ("workspace.profile", profile)) if v is not None
    }
    environment = sources.environment(os.environ if environ is None else environ)
    dotenv = {} if alone else sources.dotenv(folder)
    tree = None if alone else document.read(folder)
    known = read_targets(tree, folder)
    if alone:
        name, chosen = targets.REMOTE, Origin("flag", name="--app")
    else:
        named = "workspace.profile" in given or bool(_LOGIN_NAMES & dotenv.keys())
        name, chosen = targets.choose(
            tree, target, _targets(environment, (sources.TARGET_VARIABLE,)), _targets(dotenv, sources.DOTENV_TARGETS),
            named, folder,
        )  # fmt: skip
    of_file = known.get(name) or file_target(tree, name, folder)
    lower = merge(sources.layer(dotenv), sources.layer(environment))
    outer = merge(_for_kind(lower, of_file), flag_layer.layer(given, sets))
    settings, merged = _effective(of_file, outer, folder)
    all_targets = {n: t.settings for n, t in known.items()} | {name: settings}
    project = Project(
        folder=folder,
        settings=settings,
        all_targets=tuple(all_targets.values()),
        secrets=sources.secrets(environment, dotenv),
        use_cache=use_cache,
    )
    return Loaded(project, merged, chosen)


def existing(folder: Path) -> Path:
    """The folder, absolute.

    Raises:
        DeployError: FILE_ACCESS.
    """
    if not folder.is_dir():
        raise DeployError(
            Code.FILE_ACCESS, f"There is no folder {folder}.", hint=f"Make it: mkdir -p {folder}"
        )
    return folder.resolve()


def _targets(variables: sources.Variables, names: Sequence[str]) -> dict[str, Origin]:
    """Target name → who named it; one entry when all agree."""
    return {variables[n].value.strip(): variables[n].origin for n in reversed(names) if n in variables}


def _for_kind(outer: Node | None, of_file: FileTarget) -> Node | None:
    """Without the variables that have no meaning for the target."""
    if of_file.settings.embedded:
        return without(outer, *LOGIN)
    profile, host = at(of_file.merged, LOGIN[1]), at(outer, LOGIN[0])
    if profile and host and not at(of_file.merged, LOGIN[0]):
        # The file's profile names its workspace: a stray DATABRICKS_HOST must not take its credentials elsewhere.
        return without(outer, LOGIN[0])
    return outer


def _effective(of_file: FileTarget, outer: Node | None, folder: Path) -> tuple[Settings, Node]:
    """The target's settings with everything that variables and flags say."""
    if outer is None:
        return of_file.settings, of_file.merged
    if of_file.settings.embedded and (node := next((n for p in LOGIN if (n := at(outer, p))), None)):
        text = f"target `{of_file.settings.target}` is embedded: its workspace is on this machine."
        raise failure(
            [Problem(node.origin, text)],
            Code.CONFIG_CONFLICT,
            "Leave it out, or name another target with -t.",
        )
    problems = rules.conflicts(of_file.settings, of_file.stated, outer, of_file.merged)
    if problems:
        raise rules.refusal(problems, of_file.settings)
    merged = merge(of_file.merged, outer) or of_file.merged
    settings = settings_of(merged, of_file.settings.target, of_file.settings.embedded, folder, problems)
    if settings is None or problems:
        raise failure(problems)
    return settings, merged
