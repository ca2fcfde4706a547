"""What is left when a run ends in the middle, and what two runs at once do to each other."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from metamcp_deploy.errors import Code, DeployError
from tests.prepare.small_upstream import Prepared, Repository

RUN = """
import sys
from pathlib import Path
from metamcp_deploy import pipeline
from metamcp_deploy.config.model import Settings, Upstream
from metamcp_deploy.config.project import Project
from metamcp_deploy.stages import prepare
project = Project(Path(sys.argv[1]), Settings(target="local", upstream=Upstream(url=sys.argv[2], ref=sys.argv[3])))
print(pipeline.execute(prepare.step(project), project.state).facts["commit"])
"""


PATIENCE = 120.0


def started(folder: Path, url: str, ref: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", RUN, str(folder), url, ref]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(condition: Callable[[], object], child: subprocess.Popen[str] | None = None) -> None:
    """Waits for a condition, while `child` runs; the limit is for a machine that is busy with other things."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert child is None or child.poll() is None, child.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("there_before", [True, False])
def test_ended_in_the_middle_of_a_fetch(
    prepared: Prepared,
    upstream: Repository,
    over_ssh: Callable[[str], str],
    tmp_path: Path,
    signum: signal.Signals,
    *,
    there_before: bool,
) -> None:
    marker = tmp_path / "fetching"
    # The first connection looks the ref up, the second fetches: that one tells and hangs.
    stuck = (
        f"if [ -e {marker}.1 ]; then echo $$ > {marker}.new; mv {marker}.new {marker}; exec sleep 600; fi; "
        f"touch {marker}.1; exec $serve"
    )
    if there_before:
        prepared.pinned("v2.4.21", url=over_ssh("exec $serve")).run()
    url = over_ssh(stuck)

    child = started(prepared.project.folder, url, "v2.4.22")
    until(marker.exists, child)
    child.send_signal(signum)
    child.communicate(timeout=PATIENCE)
    if signum is signal.SIGKILL:
        os.kill(int(marker.read_text()), signal.SIGKILL)

    if there_before:
        assert prepared.schema == "first"
    else:
        assert not prepared.tree.exists()
    again = prepared.pinned("v2.4.22", url=over_ssh("exec $serve"))
    assert again.run().ran
    assert again.schema == "second"
    assert sorted(p.name for p in prepared.project.build.iterdir()) == [".gitignore", "state", "upstream"]


def test_killed_between_taking_the_old_away_and_putting_the_new(prepared: Prepared) -> None:
    prepared.run()
    left = prepared.project.build / ".upstream-left"
    left.mkdir()
    prepared.tree.rename(left / "old")

    assert prepared.run().reason == "upstream is missing"
    assert prepared.schema == "second"
    assert not left.exists()


def test_several_at_once(prepared: Prepared, upstream: Repository, tmp_path: Path) -> None:
    pins = ["v2.4.21", "v2.4.22", "main", "v2.4.22"]
    folders = [tmp_path / f"folder{n}" for n in range(len(pins))]
    children = [started(f, str(upstream.path), ref) for f, ref in zip(folders, pins, strict=True)]

    for child, ref in zip(children, pins, strict=True):
        out, err = child.communicate(timeout=PATIENCE)
        assert child.returncode == 0, err
        assert out.strip() == upstream.git("rev-parse", f"{ref}^{{commit}}")


def test_one_waits_for_the_other(prepared: Prepared, cache: Path, said: list[object]) -> None:
    import fcntl
    import threading

    prepared.run()
    shutil.rmtree(prepared.tree)
    (lock,) = (cache / "mirrors").glob("*.lock")
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        thread = threading.Thread(target=prepared.run)
        thread.start()
        until(lambda: "Waiting for another" in str(said))
        assert not prepared.tree.exists()
    thread.join()

    assert prepared.schema == "second"


@pytest.mark.parametrize(
    "damage",
    [
        lambda m: shutil.rmtree(m / "objects"),
        lambda m: (m / "HEAD").unlink(),
        lambda m: [p.write_bytes(b"") for p in m.rglob("*.pack")] or shutil.rmtree(m / "objects/pack"),
        lambda m: (m / "shallow.lock").touch(),
        lambda m: (m / "refs/pins/x.lock").touch(),
        lambda m: [shutil.rmtree(m), m.mkdir()],
    ],
)
@pytest.mark.parametrize("ref", ["v2.4.22", "v2.4.21"])
def test_a_damaged_mirror_is_made_anew(prepared: Prepared, cache: Path, damage, ref: str) -> None:
    prepared.run()
    (mirror,) = (cache / "mirrors").glob("*.git")
    shutil.rmtree(prepared.tree)
    damage(mirror)

    assert prepared.pinned(ref).run().ran
    assert prepared.schema == {"v2.4.22": "second", "v2.4.21": "first"}[ref]


def test_what_a_killed_run_left_in_the_cache_is_removed(prepared: Prepared, cache: Path) -> None:
    prepared.run()
    (mirror,) = (cache / "mirrors").glob("*.git")
    left = mirror.with_name(f"{mirror.name}.new-left")
    mirror.rename(left)

    shutil.rmtree(prepared.tree)
    prepared.run()

    assert not left.exists()


def test_disk_full(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git meets a full disk while it fetches, as its own message says it; everything else is the real git."""
    real = shutil.which("git")
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "git"
    fake.write_text(
        f'#!/bin/sh\ncase " $* " in *" fetch "*) echo "fatal: write error: No space left on device" >&2; exit 128;; '
        f'esac\nexec {real} "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")

    with pytest.raises(DeployError) as error:
        prepared.run()

    assert error.value.code is Code.DISK_FULL
    assert not prepared.tree.exists()


def test_disk_full_at_the_checkout(
    prepared: Prepared, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There git does not say why it could not write a file; and a mirror that is whole must not be thrown away."""
    prepared.run()
    shutil.rmtree(prepared.tree)
    (mirror,) = (cache / "mirrors").glob("*.git")
    made = mirror.stat().st_ino
    real = shutil.which("git")
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "git"
    fake.write_text(
        f'#!/bin/sh\ncase " $* " in *" clone "*) echo "error: unable to write file turbo.json" >&2; exit 128;; '
        f'esac\nexec {real} "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")

    with pytest.raises(DeployError) as error:
        prepared.run()

    assert error.value.code is Code.DISK_FULL
    assert mirror.stat().st_ino == made


def test_no_git(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(DeployError) as error:
        prepared.run()

    assert error.value.code is Code.TOOL_MISSING
    assert "Install git" in error.value.hint


def test_a_cache_that_cannot_be_written(prepared: Prepared, cache: Path) -> None:
    cache.mkdir()
    (cache / "mirrors").write_text("a file in the way")

    with pytest.raises(DeployError) as error:
        prepared.run()

    assert error.value.code is Code.FILE_ACCESS
    assert str(cache / "mirrors") in error.value.message
