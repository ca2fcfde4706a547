from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import atomic, events, pipeline
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.pipeline import Step, execute, why


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "build" / "state"


@pytest.fixture
def step(tmp_path: Path) -> Step:
    output = tmp_path / "out"

    def run() -> dict[str, Any]:
        output.write_text("made")
        return {"size": 4}

    return Step("build", {"lockfile": "abc"}, {"`node` version": "22.16"}, (output,), run)


def failing(step: Step, error: BaseException) -> Step:
    def run() -> dict[str, Any]:
        raise error

    return replace(step, run=run)


def test_it_runs_once_and_says_why(step: Step, state: Path) -> None:
    assert why(step, state) == "first run"
    outcome = execute(step, state)
    assert (outcome.ran, outcome.reason, outcome.facts) == (True, "first run", {"size": 4})
    assert why(step, state) is None
    again = execute(step, state)
    assert (again.ran, again.facts) == (False, {"size": 4})


CHANGES: dict[str, tuple[Callable[[Step], Step], str]] = {
    "input": (lambda s: replace(s, inputs={"lockfile": "def"}), "lockfile changed"),
    "param": (lambda s: replace(s, params={"`node` version": "24"}), "`node` version changed"),
    "removed": (lambda s: replace(s, params={}), "`node` version no longer counts"),
    "valid": (lambda s: replace(s, valid=lambda f: f"{f['size']} bytes were edited"), "4 bytes were edited"),
    "remote": (lambda s: replace(s, converges=True), "compares with the workspace"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_reason_names_what_changed(step: Step, state: Path, change: str) -> None:
    execute(step, state)
    altered, reason = CHANGES[change]
    assert why(altered(step), state) == reason


def test_a_missing_output_is_a_reason(step: Step, state: Path) -> None:
    execute(step, state)
    step.outputs[0].unlink()
    assert why(step, state) == "out is missing"


@pytest.mark.parametrize("error", [DeployError(Code.BUILD_FAILED, "m", hint="h"), KeyboardInterrupt()])
def test_a_failed_run_is_not_recorded_and_runs_again(step: Step, state: Path, error: BaseException) -> None:
    execute(step, state)
    changed = replace(failing(step, error), inputs={"lockfile": "def"})
    with pytest.raises(type(error)):
        execute(changed, state)
    assert why(changed, state) == "lockfile changed"
    assert why(step, state) is None
    assert pipeline.facts(state, "build", "bundle-deploy") == {"size": 4}


def test_a_broken_record_counts_as_none(step: Step, state: Path) -> None:
    execute(step, state)
    for broken in (b'{"fingerprint": ', b"[1]", b"null", b'{"fingerprint": {}, "facts": 3}', b"\xff\xfe"):
        (state / "build.json").write_bytes(broken)
        assert why(step, state) == "first run"


def test_a_record_without_what_is_asked_of_it_names_itself(step: Step, state: Path) -> None:
    execute(step, state)
    (state / "build.json").write_text('{"fingerprint": {}, "facts": {}}')
    with pytest.raises(DeployError, match=r"build\.json holds no `size`") as e:
        pipeline.facts(state, "build", "bundle-deploy")["size"]
    assert e.value.code is Code.STAGE_MISSING


def test_facts_of_a_stage_that_has_not_run_name_the_next_step(state: Path) -> None:
    with pytest.raises(DeployError) as e:
        pipeline.facts(state, "prepare", "patch")
    assert e.value.code is Code.STAGE_MISSING
    assert "metamcp-deploy prepare" in e.value.hint


def test_an_output_that_was_not_made_is_a_bug(step: Step, state: Path) -> None:
    with pytest.raises(RuntimeError, match="ended without its output"):
        execute(replace(step, run=dict), state)
    assert pipeline.recorded(state, "build") is None


def test_events_tell_start_and_end(step: Step, state: Path) -> None:
    seen: list[events.Event] = []
    with events.listening(seen.append):
        execute(step, state)
        execute(step, state)
    assert [type(e) for e in seen] == [events.StageStarted, events.StageFinished, events.StageSkipped]


def test_write_atomically_leaves_the_old_content_when_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "f"
    atomic.write(path, "old")
    with pytest.raises(TypeError):
        atomic.write(path, 5)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
