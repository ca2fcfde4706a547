"""Requests that a process of an app got and whose answer has not begun."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator

from metamcp_deploy.local.apps.runtime import Runtime


class Unanswered:
    """By process. One that is asked to end may close what it accepted and has not read yet."""

    def __init__(self) -> None:
        self._open: defaultdict[Runtime, set[asyncio.Event]] = defaultdict(set)

    @contextlib.contextmanager
    def one(self, runtime: Runtime) -> Iterator[asyncio.Event]:
        """A request for the time of the block, or until the event is set."""
        answered = asyncio.Event()
        self._open[runtime].add(answered)
        try:
            yield answered
        finally:
            answered.set()
            self._open[runtime].discard(answered)

    async def over(self, runtime: Runtime, seconds: float) -> None:
        """Waits until a process that gets no more requests has begun to answer all, for so long at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for answered in tuple(self._open.pop(runtime, ())):
                    await answered.wait()
