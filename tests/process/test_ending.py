import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from metamcp_deploy import process


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="this system has no /proc")
def test_marked_programs_end_with_their_groups_and_nothing_else(tmp_path: Path) -> None:
    def started(work: Path) -> int:
        env = process.base_environment(MARK_OF_TEST=str(work))
        # A child of the first program in the same group must end with it.
        return process.detach(["sh", "-c", "sleep 300 & wait"], cwd=tmp_path, env=env, log=tmp_path / "log")

    ours, other = started(tmp_path / "a"), started(tmp_path / "ab")
    try:
        deadline = time.monotonic() + 120
        while len(group(ours)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.end_marked("MARK_OF_TEST", str(tmp_path / "a"))
        assert group(ours) == []
        assert group(other)
    finally:
        process.end_group(ours)
        process.end_group(other)


def group(pid: int) -> list[str]:
    """Commands of the living programs in a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        state, _, pgrp = rest.split()[:3]
        if int(pgrp) == pid and state != "Z" and pid != os.getpgid(0):
            found.append(name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="states of processes are read from /proc")
@pytest.mark.parametrize("whole_group", [False, True])
def test_one_that_nobody_waits_for_has_ended(whole_group: bool) -> None:
    """As in a container whose first process waits for nobody: its children stay, dead, until it ends itself."""
    script = (
        "setsid sleep 60 & echo $!; exec sleep 60" if whole_group else "sleep 60 & echo $!; exec sleep 60"
    )
    parent = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    try:
        until(
            lambda: Path(f"/proc/{parent.pid}/comm").read_text() == "sleep\n"
        )  # the shell would wait for it
        began = time.monotonic()
        if whole_group:
            until(lambda: os.getpgid(child) == child)
            process.end_group(child)
        else:
            assert process.end(child, signal.SIGTERM, 10)
        assert time.monotonic() - began < 4
        os.kill(child, 0)  # its number is still taken
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def until(reached: Callable[[], bool]) -> None:
    ends = time.monotonic() + 5
    while not reached():
        assert time.monotonic() < ends
        time.sleep(0.01)
