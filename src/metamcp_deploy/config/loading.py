"""Lays the sources of settings over each other: flag, environment, `.env`, target, top of the file, default."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from metamcp_deploy import events
from metamcp_deploy.config import database, document, predecessor, rules, sources, targets
from metamcp_deploy.config.file import LOGIN, FileTarget, file_target, read_targets, settings_of
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.problems import DOTENV, FILE, ConfigurationError, Origin, Problem, failure, ordered
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.tree import Node, at, merge, without
from metamcp_deploy.errors import Code, DeployError


@dataclass(frozen=True)
class Asked:
    """What the command line and the process ask for; see `load`."""

    target: str | None = None
    flags: Mapping[str, str] = field(default_factory=dict)
    sets: Sequence[str] = ()
    environ: Mapping[str, str] | None = None
    app: str | None = None
    profile: str | None = None

    @property
    def without_file(self) -> bool:
        """`--app` without a target: nothing of a folder counts."""
        return self.app is not None and self.target is None

    def flagged(self) -> Node | None:
        """All flags as a layer."""
        own = {"app.name": self.app, "workspace.profile": self.profile}
        return sources.flags({**self.flags, **{k: v for k, v in own.items() if v is not None}}, self.sets)


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
    flags: Mapping[str, str] = MappingProxyType({}),
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
        DeployError: CONFIG_INVALID with all problems at once, CONFIG_CONFLICT, TARGET_UNKNOWN, TARGET_PROTECTED,
            TOOL_VERSION, FILE_ACCESS.
    """
    return assemble(folder, Asked(target, flags, sets, environ, app, profile), use_cache).project


def assemble(folder: Path, asked: Asked, use_cache: bool = True) -> Loaded:
    """As `load`, with what `config show --origin` needs."""
    folder = existing(folder)
    environment = sources.environment(os.environ if asked.environ is None else asked.environ)
    dotenv = {} if asked.without_file else sources.dotenv(folder)
    tree = None if asked.without_file else document.read(folder)
    for origin, meant in [*sources.unknown(environment), *sources.unknown(dotenv)]:
        if meant:
            events.emit(events.Warned(f"{origin} is not obeyed; did you mean {meant}?"))
    in_file = read_targets(tree, folder)
    flagged = asked.flagged()
    dotenv_layer = sources.layer(dotenv)
    name, chosen = _chosen(asked, tree, environment, dotenv, merge(dotenv_layer, flagged), folder)
    of_file = in_file.get(name) or file_target(tree, name, folder)
    variables = _meant(_variables(dotenv, environment, of_file, flagged), flagged, of_file)
    if of_file.settings.embedded:
        _not_by_itself(name, chosen, environment)
    settings, merged = _effective(of_file, merge(variables, flagged), folder)
    if not settings.embedded:
        words = [v["TARGET"].value for v in (dotenv, environment) if "TARGET" in v]
        predecessor.hold(words, merged, settings)
    all_targets = {n: t.settings for n, t in in_file.items()} | {name: settings}
    secrets = sources.secrets(environment, dotenv)
    project = Project(folder, settings, tuple(all_targets.values()), secrets, use_cache, asked.without_file)
    return Loaded(project, merged, chosen)


def _chosen(
    asked: Asked,
    tree: Node | None,
    environment: sources.Variables,
    dotenv: sources.Variables,
    near: Node | None,
    folder: Path,
) -> tuple[str, Origin]:
    """The target that is meant; `near` is what `.env` and flags say, which may name a workspace as the file may."""
    if asked.without_file:
        return targets.REMOTE, Origin("flag", name="--app")
    from_environment = _targets(environment, (sources.TARGET_VARIABLE,))
    from_dotenv = _targets(dotenv, sources.DOTENV_TARGETS)
    named = any(at(layer, path) for layer in (near, tree) for path in LOGIN[:2])
    named = named or sources.login_of_pipeline(environment) is not None
    return targets.choose(tree, asked.target, from_environment, from_dotenv, named, folder)


def _not_by_itself(name: str, chosen: Origin, environment: sources.Variables) -> None:
    """Refuses to deploy to this machine where a login for a workspace is given and nobody named the target."""
    login = sources.login_of_pipeline(environment)
    if login is None or chosen.kind not in ("file", "default"):
        return
    named = f"{chosen} makes it the default" if chosen.kind == "file" else "it is the default"
    raise failure(
        [
            Problem(
                login,
                f"names a workspace, and the target `{name}` is on this machine: {named}, nobody named it.",
            )
        ],
        Code.CONFIG_CONFLICT,
        f"Name the target: -t NAME, or DATABRICKS_BUNDLE_TARGET=NAME. On this machine: -t {name}",
    )


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


def _variables(
    dotenv: sources.Variables, environment: sources.Variables, of_file: FileTarget, flagged: Node | None
) -> Node | None:
    """What `.env` and the environment state; the kind of database decides what one of the names means."""
    stated = merge(of_file.merged, merge(sources.layer(dotenv), sources.layer(environment)))
    kind = database.stated_kind(merge(stated, flagged))
    return merge(sources.layer(dotenv, kind), sources.layer(environment, kind))


def _meant(variables: Node | None, flagged: Node | None, of_file: FileTarget) -> Node | None:
    """The variables without those that are not meant for the target."""
    if of_file.settings.embedded:
        return without(variables, *LOGIN)
    host, profile, _ = LOGIN
    if at(of_file.merged, host) is None and (at(flagged, profile) or at(of_file.merged, profile)):
        # The profile names the workspace: a stray DATABRICKS_HOST must not take its credentials elsewhere.
        return without(variables, host)
    return variables


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
    rules.hold(of_file.settings, of_file.stated, outer, of_file.merged)
    problems: list[Problem] = []
    merged = merge(database.inherited(of_file.merged, outer), outer) or of_file.merged
    settings = settings_of(merged, of_file.settings.target, of_file.settings.embedded, folder, problems)
    if settings is None or problems:
        raise failure(problems)
    return settings, merged


def check(
    folder: Path,
    *,
    target: str | None = None,
    sets: Sequence[str] = (),
    profile: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[Problem]:
    """The problems of metamcp.yaml and `.env`, every target's; none when every target could be used. Needs no access.

    Args:
        folder: holds them.
        target: also holds this target against `.env` and the environment, as a command with `-t` does.
            Unknown names in them are warned of in any case.
        sets: words of `--set`, which are held against the target that a command with them means.
        profile: of `-p`, likewise.
        environ: the process's environment when None.

    Raises:
        DeployError: FILE_ACCESS, TARGET_UNKNOWN, USAGE; CONFIG_INVALID where there is nothing to check.
    """
    folder = existing(folder)
    sources.flags({}, sets)
    if target is None:
        _something(folder, os.environ if environ is None else environ)
    problems = [*_problems(lambda: _variables_of(folder, environ)), *_problems(lambda: _file(folder))]
    if (target or sets or profile) and not problems:
        problems = _problems(lambda: load(folder, target=target, sets=sets, profile=profile, environ=environ))
    return ordered(problems)


def used(
    folder: Path, *, target: str | None = None, sets: Sequence[str] = (), profile: str | None = None
) -> list[Settings]:
    """The settings that runs would use: of every target in the file, or of the one that the options mean.

    Raises:
        DeployError: as `load`.
    """
    if not (target or sets or profile):
        folder = existing(folder)
        if found := read_targets(document.read(folder), folder):
            return [made.settings for made in found.values()]
    return [load(folder, target=target, sets=sets, profile=profile).settings]


def _something(folder: Path, environ: Mapping[str, str]) -> None:
    """Refuses to call a folder without any settings faultless."""
    environment = sources.environment(environ)
    if document.there(folder / FILE) or document.there(folder / DOTENV):
        return
    if sources.TARGET_VARIABLE in environment or sources.login_of_pipeline(environment):
        return
    document.read(folder)  # which knows names that are nearly right
    missing = f"there is no such file{document.above(folder)}."
    raise failure(
        [Problem(Origin("file", file=folder / FILE), missing)],
        hint="Run the command in the project's folder, or name that with -C FOLDER. "
        "To begin a project: metamcp-deploy init",
    )


def _variables_of(folder: Path, environ: Mapping[str, str] | None) -> None:
    dotenv, environment = (
        sources.dotenv(folder),
        sources.environment(os.environ if environ is None else environ),
    )
    for origin, meant in [*sources.unknown(dotenv), *sources.unknown(environment)]:
        like = f" Did you mean {meant}?" if meant else ""
        events.emit(events.Warned(f"{origin}: no setting has this name, so nothing obeys it.{like}"))
    sources.layer(dotenv)
    sources.secrets(dotenv)


def _problems(part: Callable[[], object]) -> list[Problem]:
    try:
        part()
    except ConfigurationError as e:
        return e.problems
    return []


def _file(folder: Path) -> None:
    for made in read_targets(document.read(folder), folder).values():
        if text := rules.unlocked(made.settings):
            events.emit(
                events.Warned(text, f"Add upstream.commit to {FILE}; `metamcp-deploy prepare` prints it.")
            )
        if text := rules.locked_out(made.settings):
            events.emit(events.Warned(text, rules.LOCKED_OUT_HINT))
