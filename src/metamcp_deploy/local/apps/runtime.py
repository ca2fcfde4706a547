"""One app's process: started as the platform starts it, watched, and ended with everything it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import aiohttp

from metamcp_deploy import process
from metamcp_deploy.container.environment import PROXY_SECRET
from metamcp_deploy.container.ports import HOST
from metamcp_deploy.local.apps import process_ledger
from metamcp_deploy.local.apps.logs import Log

STOP_SECONDS = 15.0  # between SIGTERM and SIGKILL, as on the platform
START_SECONDS = 600.0
HEALTH_SECONDS = 600.0  # of a check that names none; the platform's own default is not documented
_PROBE_SECONDS, _PROBE_PAUSE = 5.0, 0.1
_LONGEST_LINE = 65_536


class Runtime:
    """At most one process of an app.

    Args:
        name: the app.
        folder: its folder, `scratch` below it is HOME and TMPDIR.
        log: where its output goes.
        ledger: knows what each app started.
        exited: called with the exit code when the process ends by itself.
    """

    def __init__(
        self, name: str, folder: Path, log: Log, ledger: process_ledger.Ledger, exited: Callable[[int], None]
    ) -> None:
        self.name = name
        self.scratch = folder / "scratch"
        self.log = log
        self.ledger = ledger
        self.exited = exited
        self.port: int | None = None
        self.secret = ""  # of this start: by it the app knows its proxy
        self._child: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.returncode is None

    async def start(self, command: Sequence[str], source: Path, env: Mapping[str, str], port: int) -> None:
        """Starts the command in the snapshot.

        Raises:
            DeployError: TOOL_MISSING, when there is no such program on the app's PATH.
        """
        words = [word.replace("$DATABRICKS_APP_PORT", str(port)) for word in command]
        program = process.find(words[0], path=env["PATH"])
        self._stopping = False
        self.secret = secrets.token_urlsafe(32)
        self._child = await process.start(
            [program or words[0], *words[1:]],
            cwd=source,
            env={**env, PROXY_SECRET: self.secret},
            stderr=asyncio.subprocess.STDOUT,
        )
        self.ledger.roots[self.name] = self._child.pid
        await asyncio.to_thread(self.ledger.look)
        self.port = port
        self._watch = asyncio.create_task(self._follow(self._child))

    async def _follow(self, child: asyncio.subprocess.Process) -> None:
        """Reads the output to its end, then reports how the process ended.

        Children can hold the pipe open, so the end of the process counts, not that of the pipe.
        """
        assert child.stdout is not None  # noqa: S101 -- process.start was asked for a pipe
        reading = asyncio.create_task(self._read(child.stdout))
        code = await child.wait()
        await asyncio.wait([reading], timeout=0.2)
        if not self._stopping:
            self.log.add("SYSTEM", f"App ended by itself with exit code {code}.")
            self.exited(code)

    async def _read(self, pipe: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await pipe.read(_LONGEST_LINE):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self.log.add("APP", line.rstrip(b"\r").decode(errors="replace"))
        if rest:
            self.log.add("APP", rest.decode(errors="replace"))

    async def listening(self, seconds: float = START_SECONDS) -> bool:
        """Waits until the port accepts; False when the process ended first or the time is up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.running and loop.time() < deadline:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(HOST, self.port)
                writer.close()
                return self.running
            await asyncio.sleep(0.02)
        if not self.running and self._watch is not None:
            await self._watch  # so that its last lines are in the log
        return False

    async def healthy(self, path: str, seconds: float) -> bool:
        """Waits until a GET of the path gives 200, as the platform's own check; False as `listening`."""
        loop = asyncio.get_running_loop()
        deadline, url = loop.time() + seconds, f"http://{HOST}:{self.port}{path}"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PROBE_SECONDS)) as session:
            while self.running and loop.time() < deadline:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(url, allow_redirects=False) as answer:
                        if answer.status == 200:
                            return True
                await asyncio.sleep(_PROBE_PAUSE)
        return False

    @property
    def exit_code(self) -> int | None:
        """How the last process ended; None while it runs."""
        return self._child.returncode if self._child else None

    async def stop(self) -> None:
        """SIGTERM to the process, SIGKILL after STOP_SECONDS, and to everything that it leaves at once."""
        self._stopping = True
        child = self._child
        if child is not None and child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGTERM)
            await asyncio.to_thread(self.ledger.look)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(child.wait()), STOP_SECONDS)
        await asyncio.to_thread(self.ledger.end, self.name, self.scratch)
        if child is not None:
            await child.wait()
        if self._watch is not None:
            await self._watch
        self.port = None
