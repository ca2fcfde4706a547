"""The working folder of a run: where everything is, and how a new one begins."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from metamcp_deploy import atomic
from metamcp_deploy.config.problems import DOTENV, FILE
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    from metamcp_deploy.config.model import Settings

_EXAMPLES = {"metamcp.yaml": FILE, "env.template": ".env.template"}


@dataclass(frozen=True)
class Project:
    """A user's working folder with the settings of one target.

    Attributes:
        folder: absolute path of the folder that holds metamcp.yaml and build/.
        settings: the target's settings.
        all_targets: settings of every target the file names (databricks.yml is rendered with all of them).
        secrets: secret values found in the environment or .env (BETTER_AUTH_SECRET), by name.
        use_cache: False with --no-cache.
        bare: nothing is known but an app's name and a login (`--app NAME -p PROFILE`).
    """

    folder: Path
    settings: Settings
    all_targets: tuple[Settings, ...] = ()
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    use_cache: bool = True
    bare: bool = False

    @property
    def committed(self) -> tuple[Path, ...]:
        """What a protected target is made of and so must stand in git as it is here: the file and the user's folders.

        Whether it does is asked of git by the stages; this part starts no programs.
        """
        s = self.settings
        named = (self.folder / FILE, s.overrides, s.patches, s.templates)
        return tuple(p for p in named if p is not None and p.exists())

    @property
    def build(self) -> Path:
        """`build/`, all that stages leave behind."""
        return self.folder / "build"

    def make_build(self) -> None:
        """Makes `build/`, and hides it from git: it holds credentials. A .gitignore that is there stays as it is."""
        self.build.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError), (self.build / ".gitignore").open("x") as file:
            file.write("*\n")

    @property
    def state(self) -> Path:
        """`build/state/`, a record for each stage."""
        return self.build / "state"

    @property
    def upstream(self) -> Path:
        """`build/upstream/`, the pristine checkout."""
        return self.build / "upstream"

    @property
    def patched(self) -> Path:
        """`build/metamcp/`, the patched tree."""
        return self.build / "metamcp"

    @property
    def bundle(self) -> Path:
        """`build/bundle/`, all that is uploaded."""
        return self.build / "bundle"

    @property
    def certificates(self) -> Path | None:
        """Where files of trusted certificates are kept with `--no-cache`; None is the user's cache."""
        return None if self.use_cache else self.build / "certificates"

    @property
    def local(self) -> Path:
        """`build/local/`, state of the embedded workspace."""
        return self.build / "local"

    @property
    def logs(self) -> Path:
        """`build/logs/`, output of the programs that stages run."""
        return self.build / "logs"


def nearest(folder: Path) -> Path:
    """The folder of the project that a folder is in: the nearest with a metamcp.yaml, up to the repository's root.

    Outside of a repository, and where there is none, the folder itself: nothing of a stranger's folder is obeyed.
    """
    above = [folder, *folder.parents]
    root = next((n for n, one in enumerate(above) if (one / ".git").exists()), 0)
    return next((one for one in above[: root + 1] if os.path.lexists(one / FILE)), folder)


def examples() -> Path:
    """The folder of what `init` writes. (The part `resources` may not be imported here.)"""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "_shipped" / "templates"
    return (shipped if shipped.is_dir() else package.parent.parent / "templates") / "init"


def init(folder: Path, force: bool = False) -> list[Path]:
    """Writes the files (and makes the folder) and returns their paths.

    Args:
        folder: where.
        force: replace files that are there.

    Raises:
        DeployError: CONFIG_EXISTS, with nothing written; FILE_ACCESS.
    """
    wanted = {folder / name: examples() / source for source, name in _EXAMPLES.items()}
    files = {path: source.read_text(encoding="utf-8") for path, source in wanted.items()}
    return write(files, "metamcp-deploy init", force=force)


def write(
    files: Mapping[Path, str], command: str, *, force: bool = False, updated: Path | None = None
) -> list[Path]:
    """Writes a project's files, `.env` for its owner alone, makes their folders, and returns their paths.

    Args:
        files: the content of each.
        command: which writes them, for hints.
        force: replace files that are there.
        updated: one that may be there in any case.

    Raises:
        DeployError: CONFIG_EXISTS, with nothing written; FILE_ACCESS.
    """
    there = [path for path in files if path != updated and (path.exists() or path.is_symlink())]
    if there and not force:
        raise DeployError(
            Code.CONFIG_EXISTS,
            f"{' and '.join(map(str, there))} {'is' if len(there) == 1 else 'are'} already there.",
            hint=f"Replace with `{command} --force`, or name another folder with -C.",
        )
    path = None
    try:
        for path, content in files.items():
            atomic.write(path, content, 0o600 if path.name == DOTENV else 0o644)
    except OSError as e:
        raise DeployError(
            Code.FILE_ACCESS,
            f"{e.filename or path} cannot be written: {e.strerror}.",
            hint="Choose a folder that you can write to with -C.",
        ) from e
    return list(files)
