"""Runs jobs at once, in threads: the first failure is raised when all have ended, and Ctrl-C ends all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from metamcp_deploy.workspace.clock import Clock

_AT_ONCE = 6


def run(jobs: Sequence[Callable[[], None]], clock: Clock) -> None:
    """Runs all jobs to their end.

    Args:
        jobs: of which none waits for another.
        clock: its waits end when this thread is interrupted.

    Raises:
        Exception: of the first job, in their order, that failed.
    """
    if len(jobs) < 2:
        for job in jobs:
            job()
        return
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="converge") as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            wait(futures)
        except BaseException:  # Ctrl-C: nothing may go on behind a lock that was let go
            clock.ended.set()
            pool.shutdown(wait=True, cancel_futures=True)
            clock.ended.clear()
            raise
    for future in futures:
        future.result()
