"""A PostgreSQL server on one data folder, reached through a unix socket by password only."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from metamcp_deploy import process
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.postgres import binaries, history, initdb, postmaster, sockets
from metamcp_deploy.postgres.binaries import SUPERUSER
from metamcp_deploy.postgres.place import Place

_START_SECONDS = 120.0  # recovery after a crash included
_LOG_LIMIT = 5_000_000  # bytes; an older log is kept once, as .1

# Passwords here are random and long: the many rounds that protect a person's password would only slow each login.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "scram_iterations": "1",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_THROWAWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}


class Cluster:
    """A PostgreSQL 16 server. It outlives this object (and this process) until `stop`, except as a context manager.

    Args:
        home: its folder, made when missing; when root's private folder is chosen, only a note stays there.
        durable: False trades safety after a power cut for speed.
        history: keeps its past, for `past`; takes 25 MB and what is written, up to 1 GB.
    """

    def __init__(self, home: Path, *, durable: bool = True, history: bool = False) -> None:
        binaries.installed()
        self._place = Place(home.absolute(), binaries.account())
        self._durable = durable
        self._history = history
        self._remove_after = False

    @classmethod
    def throwaway(cls) -> Cluster:
        """A cluster in a temporary folder; leaving its `with` block deletes it."""
        cluster = cls(
            Path(tempfile.mkdtemp(prefix="metamcp-pg-home-", dir=sockets.short_folder())), durable=False
        )
        cluster._remove_after = True
        return cluster

    @property
    def home(self) -> Path:
        """The folder it was made with."""
        return self._place.home

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._place.log

    @property
    def data(self) -> Path:
        """PostgreSQL's own data folder: in the home, or aside when the system user cannot reach the home."""
        return self._place.data

    @property
    def socket_folder(self) -> Path:
        """The folder of the unix socket, 0700; a new one at each start.

        Raises:
            DeployError: POSTGRES_FAILED when it does not run.
        """
        server = postmaster.living(self.data)
        if server is None or server.socket_folder is None:
            raise self._failed(f"PostgreSQL does not run on {self.home}")
        return server.socket_folder

    def running(self) -> bool:
        """Whether a server works on this data folder, whoever started it."""
        return postmaster.living(self.data) is not None

    def start(self) -> None:
        """Makes the data when there are none, and starts the server unless it runs. Returns when it takes logins.

        Raises:
            DeployError: POSTGRES_FAILED with the end of the server's log; FILE_ACCESS.
        """
        with _reported(self.home), self._locked():
            if self.running():
                return
            programs = binaries.install_for(self._place.user) / "bin"
            postmaster.clear(self.data)
            if not self.data.exists():
                initdb.initialise(self._place, programs, durable=self._durable)
            initdb.check_version(self._place)
            if self._history:
                history.keep(self._place)
            self._launch(programs)

    def stop(self) -> None:
        """Ends the server and everything it started; without one it only cleans what a killed one left."""
        if self.home.is_dir():
            with self._locked():
                postmaster.stop(self.data)

    def remove(self) -> None:
        """Stops it and deletes all of its data."""
        self.stop()
        self._place.remove()

    @property
    def remembers(self) -> float | None:
        """The moment since which its past is known, in seconds since the epoch."""
        return history.began(self._place)

    @contextmanager
    def past(self, *, at: float | None = None, lsn: str | None = None) -> Iterator[Cluster]:
        """A running throw-away cluster that holds what this one held at a moment, which must be over.

        Args:
            at: seconds since the epoch, not before `remembers`; what was committed by then counts.
            lsn: instead, a position in the log.

        Raises:
            DeployError: POSTGRES_FAILED, also when the log does not reach that moment.
        """
        then = Cluster.throwaway()
        try:
            history.restore(self._place, then._place, at=at, lsn=lsn)
            then.start()
            yield then
        finally:
            then.remove()

    def password(self) -> Secret:
        """The superuser's password."""
        return self._place.password()

    def uri(self, database: str = SUPERUSER, user: str = SUPERUSER, password: Secret | None = None) -> Secret:
        """A connection URI through the unix socket for psql, psycopg and pg_dump; by default the superuser's."""
        login = f"{quote(user, safe='')}:{quote((password or self.password()).reveal(), safe='')}"
        folder = quote(str(self.socket_folder), safe="")
        return Secret(f"postgresql://{login}@/{quote(database, safe='')}?host={folder}")

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._remove_after:
            self.remove()
        else:
            self.stop()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._place.prepare()
        with (self.home / "lock").open("w") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            yield

    def _launch(self, programs: Path) -> None:
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        folder = Path(tempfile.mkdtemp(prefix=sockets.PREFIX, dir=sockets.short_folder()))
        self._place.give(folder)
        settings = {
            **_SETTINGS,
            **({} if self._durable else _THROWAWAY),
            **(history.SETTINGS if self._history else {}),
            "unix_socket_directories": str(folder),
        }
        words: list[str | Path] = [programs / "postgres", "-D", self.data]
        for name, value in settings.items():
            words += ["-c", f"{name}={value}"]
        pid = process.detach(
            words, cwd=Path("/"), env=binaries.ENVIRONMENT, log=self.log, user=self._place.user
        )
        try:
            self._await_ready(pid)
        except BaseException:
            self._end(pid)
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _await_ready(
        self,
        pid: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        deadline = clock() + _START_SECONDS
        while clock() < deadline:
            server = postmaster.recorded(self.data)
            if server and server.pid == pid and server.ready:
                return
            ended, _ = os.waitpid(pid, os.WNOHANG)
            if ended:
                raise self._failed("PostgreSQL ended while it started")
            sleep(0.005)
        raise self._failed(f"PostgreSQL was not ready within {_START_SECONDS:g} s")

    def _end(self, pid: int) -> None:
        process.end_group(pid)
        postmaster.clear(self.data)

    def _failed(self, what: str) -> DeployError:
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.is_file() else ""
        return DeployError(
            Code.POSTGRES_FAILED,
            f"{what}. Its log is {self.log}.",
            hint=f"Look at the last lines below; to start with empty data: rm -r {self.home}",
            detail="\n".join(text.splitlines()[-20:]) or None,
        )


@contextmanager
def _reported(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise DeployError(
            Code.POSTGRES_FAILED,
            f"PostgreSQL cannot be set up for {home}: {e.strerror} ({e.filename}).",
            hint="Free some space or correct the permissions, then run the same command again.",
        ) from e
