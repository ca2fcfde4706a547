"""Files of a workspace. Paths are absolute and begin with `/Workspace`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metamcp_deploy import resources
from metamcp_deploy.workspace import sdk_import, services
from metamcp_deploy.workspace.clock import Clock
from metamcp_deploy.workspace.services import created, optional
from metamcp_deploy.workspace.transport import Guard, Transport

if TYPE_CHECKING:
    from databricks.sdk.mixins.workspace import WorkspaceExt
    from databricks.sdk.service.workspace import ObjectInfo

# The official command line keeps 20 in flight; each of ours may be 10 MB, and imports are limited to about 30 a second.
UPLOADS_AT_ONCE = 8
READS_AT_ONCE = 8


@dataclass(frozen=True)
class Entry:
    """One thing in a folder; `size` in bytes, None where the workspace does not say."""

    name: str
    folder: bool
    size: int | None


class Files:
    """Reads and writes workspace files."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def _service(self) -> WorkspaceExt:
        return services.files(self._transport)

    @property
    def clock(self) -> Clock:
        """Of all waits."""
        return self._transport.clock

    def time(self) -> float | None:
        """Seconds since the epoch on the workspace's clock; None before its first answer."""
        return self._transport.time()

    def unguarded(self) -> Files:
        """The same files, without `guarded`."""
        return Files(self._transport.unguarded())

    @contextmanager
    def guarded(self, guard: Guard) -> Iterator[None]:
        """For the time of the block, `guard` is called before each request to this workspace, and may refuse it."""
        before = self._transport.guard
        self._transport.guard = guard
        try:
            yield
        finally:
            self._transport.guard = before

    def make_folder(self, path: str) -> None:
        """Creates a folder and those above it; one that exists is fine."""
        self._service.mkdirs(path)

    def entries(self, path: str) -> dict[str, Entry]:
        """What is in a folder, by name; nothing when there is no such folder."""
        directory = sdk_import.module("service.workspace").ObjectType.DIRECTORY
        listed = optional(lambda: list(self._service.list(path))) or []
        entries = (Entry(str(o.path).rsplit("/", 1)[-1], o.object_type is directory, o.size) for o in listed)
        return {entry.name: entry for entry in entries}

    def sizes(self, path: str, prefix: str = "") -> dict[str, int]:
        """Relative path → bytes of every file below a folder. Where the workspace does not say, the file is read."""
        found: dict[str, int] = {}
        for entry in self.entries(path).values():
            if entry.folder:
                found |= self.sizes(f"{path}/{entry.name}", f"{prefix}{entry.name}/")
            elif entry.size is not None:
                found[prefix + entry.name] = entry.size
            else:
                found[prefix + entry.name] = len(self.read(f"{path}/{entry.name}") or b"")
        return found

    def read(self, path: str) -> bytes | None:
        """A file's content, None when there is no such file.

        A .json that cannot be parsed is read again: it may have been cut on its way, which nothing else shows.
        """
        auto = sdk_import.module("service.workspace").ExportFormat.AUTO
        content: bytes | None = b""
        for _ in range(2):
            content = optional(lambda: self._service.download(path, format=auto).read())
            if content is None or not path.endswith(".json") or _parses(content):
                break
        return content

    def contents(self, paths: Iterable[str]) -> dict[str, bytes | None]:
        """Several files' contents by path, in the order asked for; None for those that are not there."""
        paths = list(paths)
        with ThreadPoolExecutor(max_workers=READS_AT_ONCE, thread_name_prefix="read") as pool:
            return dict(zip(paths, pool.map(self.read, paths), strict=True))

    def write(self, path: str, content: bytes) -> None:
        """Writes a file, in a folder that exists, over what was there."""
        self._import(path, content, overwrite=True)

    def sure(self) -> Files:
        """The same files; before each write of them the lock is looked at."""
        return Files(self._transport.sure())

    def create(self, path: str, content: bytes) -> bool:
        """Writes a file unless it exists; False when it does."""
        return created(lambda: self._import(path, content, overwrite=False))

    def modified(self, path: str) -> float | None:
        """When a file was last written, in seconds since the epoch on the workspace's clock; None without one."""
        status = self._status(path)
        return status.modified_at / 1000 if status and status.modified_at is not None else None

    def object_id(self, path: str) -> str | None:
        """The id by which permissions call a file or folder; None where there is none.

        Raises:
            ApiError: PERMISSION_DENIED.
        """
        status = self._status(path)
        return str(status.object_id) if status and status.object_id is not None else None

    def _status(self, path: str) -> ObjectInfo | None:
        return optional(lambda: self._service.get_status(path))

    def delete(self, path: str, *, repeatable: bool = True, recursive: bool = False) -> None:
        """Deletes a file, or an empty folder; one that does not exist is fine.

        Args:
            path: of it.
            repeatable: False when a lost answer is not to be tried again.
            recursive: also a folder with all that is in it.
        """
        service = self._service if repeatable else services.files(self._transport.once())
        optional(lambda: service.delete(path, recursive=recursive))

    def send(
        self,
        root: str,
        files: Mapping[str, Path],
        on_sent: Callable[[str, int], None] = lambda *_: None,
        *,
        first: str = "",
    ) -> None:
        """Writes several files below `root`, a few at once. The first failure ends it.

        Args:
            root: folder that exists.
            files: relative path → local file.
            on_sent: called in this thread with path and bytes of each file that has arrived.
            first: the one that has to be there before any other is sent.
        """
        for folder in sorted({f"{root}/{name}".rsplit("/", 1)[0] for name in files}):
            self.make_folder(folder)
        if first in files:
            on_sent(first, self._send_one(f"{root}/{first}", files[first]))
        others = {name: path for name, path in files.items() if name != first}
        pool = ThreadPoolExecutor(max_workers=UPLOADS_AT_ONCE, thread_name_prefix="upload")
        try:
            jobs = {pool.submit(self._send_one, f"{root}/{n}", p): n for n, p in _largest_first(others)}
            for job in as_completed(jobs):
                on_sent(jobs[job], job.result())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _send_one(self, path: str, local: Path) -> int:
        content = local.read_bytes()
        self.write(path, content)
        return len(content)

    def _import(self, path: str, content: bytes, *, overwrite: bool) -> None:
        # AUTO keeps a file a file; SOURCE, the default, makes notebooks of .py and .sql.
        auto = sdk_import.module("service.workspace").ImportFormat.AUTO
        self._service.upload(path, content, format=auto, overwrite=overwrite)


def _parses(content: bytes) -> bool:
    try:
        resources.parsed_json(content)
    except ValueError:
        return False
    return True


def _largest_first(files: Mapping[str, Path]) -> Iterable[tuple[str, Path]]:
    return sorted(files.items(), key=lambda item: -item[1].stat().st_size)
