"""A machine without more threads, processes or memory for this user: how it is recognised, and its error."""

from __future__ import annotations

import errno

from metamcp_deploy.errors import Code, DeployError

_NO_THREAD = "can't start new thread"  # Python's words; its RuntimeError has no code


def exhausted(error: BaseException) -> DeployError | None:
    """The error for an exception that means so; None for any other."""
    if isinstance(error, OSError):
        known = error.errno in (errno.EAGAIN, errno.ENOMEM)
    else:
        known = isinstance(error, MemoryError) or (
            isinstance(error, RuntimeError) and _NO_THREAD in str(error)
        )
    if not known:
        return None
    return DeployError(
        Code.MACHINE_EXHAUSTED,
        f"This machine gives no more threads, processes or memory: {str(error) or type(error).__name__}.",
        hint="Look at the limits and at what runs: ulimit -u; cat /sys/fs/cgroup/pids.max; ps -eLf | wc -l; "
        "free -m. Then run the same command again.",
    )
