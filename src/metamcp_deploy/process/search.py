"""Finds running programs by what they were started with, also those that left every group and session.

Programs that have ended count no more, even before their parent waited for them; programs of other users are not seen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def marked(name: str, value: str) -> list[int]:
    """Ids of the programs whose environment has `name` with this value. Without psutil, only where there is /proc."""
    return _matching(lambda program: program.environ().get(name) == value)


def with_folder(folder: Path, *names: str) -> list[int]:
    """Ids of other programs that have a variable (one of `names`) with this folder or one below it."""
    below = f"{folder}{os.sep}"

    def test(program: Any) -> bool:
        environment = program.environ()
        return any(f"{environment.get(name, '')}{os.sep}".startswith(below) for name in names)

    return [pid for pid in _matching(test) if pid != os.getpid()]


def with_words(*words: str) -> list[int]:
    """Ids of the programs whose command line has all of these words."""
    return _matching(lambda program: set(words) <= set(program.cmdline()))


def working_in(folder: Path, name: str) -> list[int]:
    """Ids of the programs of this name whose working folder this is."""
    return _matching(lambda program: _works_in(program, folder, name))


def works_in(pid: int, folder: Path, name: str) -> bool:
    """Whether this is a living program of that name with that working folder."""
    import psutil

    try:
        return _works_in(psutil.Process(pid), folder, name)
    except (psutil.Error, OSError):
        return False


def _works_in(program: Any, folder: Path, name: str) -> bool:
    alive = program.name() == name and program.status() != "zombie"
    return alive and Path(program.cwd()) == folder.resolve()


def _matching(test: Callable[[Any], bool]) -> list[int]:
    found = []
    for program in _programs():
        try:
            if test(program):
                found.append(program.pid)
        except Exception:  # noqa: S112 -- it has ended, or it is another user's
            continue
    return found


def _programs() -> Iterator[Any]:
    """Every process, as psutil shows it; without psutil, which comes with the extra `local`, its environment only."""
    try:
        import psutil
    except ImportError:
        yield from (_InProc(folder) for folder in Path("/proc").glob("[0-9]*"))
    else:
        yield from psutil.process_iter()


class _InProc:
    def __init__(self, folder: Path) -> None:
        self.pid, self._folder = int(folder.name), folder

    def environ(self) -> dict[str, str]:
        entries = (self._folder / "environ").read_bytes().decode(errors="replace").split("\0")
        return dict(entry.partition("=")[::2] for entry in entries)
