"""What the most used commands print and ask of the workspace: cases/SCENE/CASE holds a command line and its goldens.

A scene's folder has `input/` (the working folder) and `before` (the commands that came first; the line
`# another release` gives the working folder another built release). A case has `command`;
`stdout`, `stderr` (none where nothing is printed, `stdout.100` where it is another in a terminal of 100 columns),
`exit` (none for 0), and `requests`, in alphabetical order. All but `command` is written anew by

    UPDATE_GOLDEN=1 pytest -n 0 tests/acceptance/test_cases.py
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import golden
from tests.acceptance.scenes import Scene, played

CASES = Path(__file__).parent / "cases"
WIDTHS = (80, 100)
NAMES = sorted(str(path.parent.relative_to(CASES)) for path in CASES.glob("*/*/command"))


@pytest.fixture(scope="module")
def scene_of(
    tmp_path_factory: pytest.TempPathFactory, shared_cache: Path
) -> Iterator[Callable[[str], Scene]]:
    """Sets each scene up once."""
    scenes: dict[str, Scene] = {}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patched:
        patched.setenv("METAMCP_CACHE_DIR", str(shared_cache))

        def scene(name: str) -> Scene:
            if name not in scenes:
                work = tmp_path_factory.mktemp(name).resolve()
                scenes[name] = stack.enter_context(played(CASES / name, work, shared_cache))
            return scenes[name]

        yield scene


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str, scene_of: Callable[[str], Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    scene, case = scene_of(name.partition("/")[0]), CASES / name
    shown = [_shown(scene, case, width, monkeypatch) for width in WIDTHS]
    for stream in ("stdout", "stderr", "exit"):
        narrow, wide = (texts[stream] for texts in shown)
        golden.check(case / stream, narrow)
        golden.check(case / f"{stream}.100", wide if wide != narrow else "")
    golden.check(case / "requests", shown[0]["requests"])


def _shown(scene: Scene, case: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("COLUMNS", str(width))
    before = len(scene.requests())
    done = scene.run((case / "command").read_text().strip())
    return {
        "stdout": scene.normal(done.stdout),
        "stderr": scene.normal(done.stderr),
        "exit": f"{done.returncode}\n" if done.returncode else "",
        "requests": "".join(sorted(scene.requests()[before:])),
    }


def test_no_golden_file_is_left_over() -> None:
    known = {"command", "exit", "requests", *(f"{s}{w}" for s in ("stdout", "stderr") for w in ("", ".100"))}
    files = {path for path in CASES.glob("*/*/*") if path.parent.name != "input"}
    assert {path.name for path in files} <= known
    assert not [path.parent for path in files if not (path.parent / "command").exists()]


def test_goldens_are_compared(tmp_path: Path) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        pytest.skip("goldens are written")
    (tmp_path / "stdout").write_text("other\n")
    for path in (tmp_path / "stdout", tmp_path / "none"):
        with pytest.raises(AssertionError, match="UPDATE_GOLDEN"):
            golden.check(path, "text\n")
