"""Where a cluster's files are: its home, and its data folder, which has to be elsewhere when root's home is private.

A home holds `password` (superuser, 0600), `postgres.log`, `data/`. If the system user that PostgreSQL runs as cannot
reach it, `data` stands below `binaries.shared_folder()` instead and `place.json` in the home says where.
"""

from __future__ import annotations

import json
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy import atomic, fingerprint
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.postgres import binaries, postmaster


@dataclass(frozen=True)
class Place:
    """A cluster's home and the user its data belong to (None: the caller)."""

    home: Path
    user: str | None

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder, in the home or where `place.json` says."""
        note = self._note()
        return Path(note["data"]) if note else self.home / "data"

    @property
    def log(self) -> Path:
        """What PostgreSQL says."""
        return self.home / "postgres.log"

    def prepare(self) -> None:
        """Makes the home, and decides where the data will be. Data of a home that was deleted by hand are removed."""
        self.home.mkdir(parents=True, exist_ok=True)
        note = self._note()
        if note:
            self._remember(Path(note["data"]))  # the home may have been moved
        if note or (self.home / "data").exists():
            return
        if binaries.reachable(self.home, self.user):
            if self.user is not None:
                self.home.chmod(0o711)
            return
        aside = self._aside()
        if aside.exists():
            postmaster.clear(aside / "data")
            shutil.rmtree(aside)
        aside.mkdir()
        aside.chmod(0o711)  # the caller's, like the home: only `data` in it is given away
        self._remember(aside / "data")

    def remove(self) -> None:
        """Deletes the data and the home."""
        note = None
        with suppress(DeployError):  # what cannot be read goes as well
            note = self._note()
        if note:
            shutil.rmtree(Path(note["data"]).parent, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def give(self, path: Path) -> None:
        """Makes the system user of the cluster the owner of a file or folder."""
        if self.user is not None:
            shutil.chown(path, self.user)

    def password(self) -> Secret:
        """The superuser's password, made at first use."""
        path = self.home / "password"
        if not path.exists():
            atomic.write(path, secrets.token_urlsafe(32), 0o600)
        try:
            return Secret(path.read_text(encoding="utf-8"))
        except ValueError as e:
            raise self._garbled(path) from e

    @property
    def _note_path(self) -> Path:
        return self.home / "place.json"

    def _remember(self, data: Path) -> None:
        note = {"home": str(self.home), "data": str(data)}
        atomic.write(self._note_path, json.dumps(note), 0o600)

    def _garbled(self, path: Path) -> DeployError:
        return DeployError(
            Code.POSTGRES_FAILED,
            f"{path} is not what this tool wrote.",
            hint=f"Put back the file, or start with empty data: rm -r {self.home}",
        )

    def _aside(self) -> Path:
        return binaries.shared_folder() / f"postgres-{fingerprint.of_value(str(self.home.resolve()))[:16]}"

    def _note(self) -> dict[str, str] | None:
        """The note, unless this home is a copy of another that still exists: two clusters cannot share one folder."""
        if not self._note_path.is_file():
            return None
        try:
            note: dict[str, str] = json.loads(self._note_path.read_text(encoding="utf-8"))
            origin = Path(note["home"])
        except (ValueError, KeyError, TypeError) as e:
            raise self._garbled(self._note_path) from e
        copied = origin.resolve() != self.home.resolve() and (origin / self._note_path.name).is_file()
        return None if copied or not Path(note["data"]).parent.is_dir() else note
