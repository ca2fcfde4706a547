"""Packed releases in the user's cache, keyed by their inputs: another folder or target builds nothing.

`releases/<key>/` has `app/` (the release's files) and `contents.json` (path → SHA-256, checked before use).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy import events, fingerprint, resources

_NEWEST = 8  # of a few megabytes each
_CONTENTS = "contents.json"


def digests(folder: Path) -> dict[str, str]:
    """Path → SHA-256 of each file below a folder."""
    return {p.as_posix(): fingerprint.of_file(folder / p) for p in resources.files_below(folder)}


@dataclass(frozen=True)
class Cache:
    """Releases kept below a folder; without one (`--no-cache`) nothing is taken or kept."""

    folder: Path | None

    @classmethod
    def of(cls, use_cache: bool) -> Cache:
        """The user's."""
        return cls(resources.cache_folder() / "releases" if use_cache else None)

    def take(self, key: str, app: Path) -> bool:
        """Copies the release of this key to `app`, which is not there yet; False when there is none that is whole."""
        if self.folder is None or not (kept := self.folder / key).is_dir():
            return False
        try:
            wanted = json.loads((kept / _CONTENTS).read_text())
            shutil.copytree(kept / "app", app)
            if digests(app) == wanted:
                os.utime(kept)
                return True
            problem = "is not what was put there"
        except (OSError, ValueError) as e:
            problem = f"cannot be read ({type(e).__name__})"
        shutil.rmtree(app, ignore_errors=True)
        shutil.rmtree(kept, ignore_errors=True)
        events.emit(
            events.Warned(f"{kept} in the cache {problem}; it was removed, and the release is built again.")
        )
        return False

    def keep(self, key: str, app: Path) -> None:
        """Keeps a copy of a release under its key, instead of an older one, and only the newest few in all."""
        if self.folder is None:
            return
        contents = digests(app)
        kept = self.folder / key
        if _told(kept) == contents:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".new-") as made:
            fresh = Path(made, key)
            shutil.copytree(app, fresh / "app")
            (fresh / _CONTENTS).write_text(json.dumps(contents, indent=1))
            if kept.exists():
                kept.rename(Path(made, "former"))
            try:
                fresh.rename(kept)
            except OSError:
                if not kept.is_dir():  # otherwise another build was faster, with the same
                    raise
        for old in sorted(self.folder.glob("[!.]*"), key=_age)[_NEWEST:]:
            shutil.rmtree(old, ignore_errors=True)


def _age(kept: Path) -> float:
    try:
        return -kept.stat().st_mtime
    except OSError:  # another build removed it
        return 0.0


def _told(kept: Path) -> object:
    try:
        return json.loads((kept / _CONTENTS).read_text())
    except (OSError, ValueError):
        return None
