"""Workspace files: a real folder, with the platform's rules about what may be put where."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from metamcp_deploy import atomic
from metamcp_deploy.local.api.errors import ApiError, exists, invalid, missing
from metamcp_deploy.local.store import Store

# `.py` and `.sql` sent as SOURCE become notebooks and lose their ending: the trap behind `w.workspace.upload`.
LANGUAGES = {".py": "PYTHON", ".sql": "SQL", ".scala": "SCALA", ".r": "R"}
_HEADERS = (
    b"# Databricks notebook source",
    b"-- Databricks notebook source",
    b"// Databricks notebook source",
)


class Files:
    """The tree below `/Workspace`; `/Users/...` names the same as `/Workspace/Users/...`."""

    def __init__(self, folder: Path, store: Store, home: str) -> None:
        self.folder = folder
        self.store = store
        for path in ("Shared", f"Users/{home}"):
            (folder / path).mkdir(parents=True, exist_ok=True)

    def place(self, path: str) -> Path:
        """Where a workspace path is on disk.

        Raises:
            ApiError: 400, when it is not absolute or leaves the tree.
        """
        if not path.startswith("/") or "\0" in path:
            raise invalid(f"Path ({path}) must be absolute")
        parts = PurePosixPath(path).parts[1:]
        if ".." in parts or any(len(p.encode()) > 255 for p in parts):
            raise invalid(f"Path ({path}) is not valid")
        return self.folder.joinpath(*(parts[1:] if parts[:1] == ("Workspace",) else parts))

    def shown(self, place: Path) -> str:
        """The canonical workspace path of a place, without `/Workspace`, as the platform lists it."""
        return "/" + "/".join(place.relative_to(self.folder).parts)

    def existing(self, path: str) -> Path:
        """The place of a path that is there.

        Raises:
            ApiError: 404.
        """
        place = self.place(path)
        if not place.exists():
            raise missing(f"Path ({path}) doesn't exist.")
        return place

    def mkdirs(self, path: str) -> None:
        """Makes a folder and its parents; one that is there is fine."""
        place = self.place(path)
        try:
            place.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as e:
            raise exists(f"Path ({path}) or a part of it is a file.", 400) from e

    def put(self, path: str, source: Path, *, overwrite: bool, conflict_status: int = 400) -> None:
        """Moves a finished file to a workspace path in one step: of two that do not overwrite, one wins.

        Raises:
            ApiError: 404 without the parent folder, `conflict_status` when it is there and may not be replaced.
        """
        place = self.place(path)
        if not place.parent.is_dir():
            raise missing(f"The parent folder ({self.shown(place.parent)}) does not exist.")
        if place.is_dir():
            raise exists(f"Path ({path}) is a folder.", 400)
        try:
            atomic.move(source, place, overwrite=overwrite)
        except FileExistsError as e:
            raise exists(f"Path ({self.shown(place)}) already exists.", conflict_status) from e

    def temporary(self) -> Path:
        """An empty file beside the tree, to be filled and `put`."""
        folder = self.folder.with_name("incoming")
        folder.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder)
        os.close(handle)
        return Path(name)

    def put_as(self, path: str, source: Path, form: str, language: str | None, *, overwrite: bool) -> None:
        """What `workspace/import` does with each format.

        Raises:
            ApiError: 400 for formats that are not imitated; as `put`.
        """
        ending = PurePosixPath(path).suffix.lower()
        if form == "SOURCE":
            language = language or LANGUAGES.get(ending)
            if language is None:
                raise invalid("Missing required field: language")
        elif form == "AUTO":
            notebook = ending in LANGUAGES and _head(source).startswith(_HEADERS)
            language = LANGUAGES[ending] if notebook else None
        elif form == "RAW":
            language = None
        else:
            raise ApiError(501, "NOT_IMPLEMENTED", f"The embedded workspace does not imitate format {form}.")
        name = path[: -len(ending)] if language and LANGUAGES.get(ending) == language else path
        self.put(name, source, overwrite=overwrite)
        notebooks = self.store.family("notebooks")
        changed = notebooks.pop(self.shown(self.place(name)), None)
        if language:
            notebooks[self.shown(self.place(name))] = language
        if changed != language:
            self.store.save()

    def delete(self, path: str, *, recursive: bool) -> None:
        """Deletes a file or folder.

        Raises:
            ApiError: 404; 400 DIRECTORY_NOT_EMPTY without `recursive`; 400 for the fixed folders.
        """
        place = self.existing(path)
        if place == self.folder or place.parent == self.folder:
            raise ApiError(400, "BAD_REQUEST", f"Path ({path}) cannot be deleted.")
        if not place.is_dir():
            place.unlink()
        elif recursive:
            # Gone at once for everybody who looks, however long the rest takes.
            doomed = Path(tempfile.mkdtemp(dir=self.folder.parent, prefix=".deleted-"))
            place.replace(doomed / "tree")
            shutil.rmtree(doomed)
        else:
            try:
                place.rmdir()
            except OSError as e:
                raise ApiError(400, "DIRECTORY_NOT_EMPTY", f"Folder ({path}) is not empty") from e

    def status(self, place: Path) -> dict[str, Any]:
        """What `get-status` and `list` say about one object."""
        facts = place.stat()
        shown = self.shown(place)
        result: dict[str, Any] = {
            "path": shown,
            "object_id": facts.st_ino,
            "resource_id": str(facts.st_ino),
            "created_at": int(facts.st_ctime * 1000),
            "modified_at": int(facts.st_mtime * 1000),
        }
        if place.is_dir():
            return result | {"object_type": "DIRECTORY"}
        if language := self.store.family("notebooks").get(shown):
            return result | {"object_type": "NOTEBOOK", "language": language}
        return result | {"object_type": "FILE", "size": facts.st_size}

    def listing(self, path: str) -> list[dict[str, Any]]:
        """The objects in a folder; a file lists itself."""
        place = self.existing(path)
        return [self.status(p) for p in (sorted(place.iterdir()) if place.is_dir() else [place])]


def _head(path: Path) -> bytes:
    with path.open("rb") as source:
        return source.read(64)
