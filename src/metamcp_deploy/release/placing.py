"""A folder made beside the one that is there, then put in its place: whoever looks finds the old or the new one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def placed(target: Path) -> Iterator[Path]:
    """Gives an empty folder; when the block has ended well, it takes the place of `target`. Else `target` stays.

    Also ends what a killed run began: its half-made folder goes, the former one comes back if it was moved aside.
    """
    fresh, former = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.former")
    shutil.rmtree(fresh, ignore_errors=True)
    if former.exists():
        if target.exists():
            shutil.rmtree(former)
        else:
            former.rename(target)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if target.exists():
            target.rename(former)
        fresh.rename(target)
        shutil.rmtree(former, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
