"""Writes a commented metamcp.yaml and `.env.template` for a new working folder."""

from __future__ import annotations

from pathlib import Path

from metamcp_deploy import atomic
from metamcp_deploy.config.origin import FILE
from metamcp_deploy.errors import Code, DeployError

_FILES = {"metamcp.yaml": FILE, "env.template": ".env.template"}


def examples() -> Path:
    """The folder of what `init` writes. Found here because `resources` is to the left of this part."""
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
    wanted = {examples() / source: folder / name for source, name in _FILES.items()}
    there = [path for path in wanted.values() if path.exists() or path.is_symlink()]
    if there and not force:
        raise DeployError(
            Code.CONFIG_EXISTS,
            f"{' and '.join(map(str, there))} {'is' if len(there) == 1 else 'are'} already there.",
            hint="Replace with `metamcp-deploy init --force`, or go on with what is there.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source, path in wanted.items():
            atomic.write(path, source.read_text(encoding="utf-8"))
    except OSError as e:
        raise DeployError(
            Code.FILE_ACCESS,
            f"{e.filename or folder} cannot be written: {e.strerror}.",
            hint="Choose a folder that you can write to with -C.",
        ) from e
    return list(wanted.values())
