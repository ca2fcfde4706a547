"""The last part of a build: the real release is started, and one that does not run never becomes the bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import events, pipeline, verify
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.build import node, verification
from metamcp_deploy.release.build.work import Work
from metamcp_deploy.stages import build
from metamcp_deploy.verify import throwaway

Write = Callable[[Path, dict[str, str | bytes]], Path]


def about(app: Path) -> dict[str, Any]:
    return json.loads((app / "release.json").read_text())  # type: ignore[no-any-return]


def run(project: Project, **wishes: bool) -> pipeline.Facts:
    return pipeline.execute(build.step(project, build.Wishes(**wishes)), project.state).facts


def test_a_built_release_was_healthy_on_the_platforms_node(built_sample: Project) -> None:
    found = about(built_sample.bundle / "app")["verified"]
    assert found["answered"] == ["/metamcp/health", "/metamcp", "/"]
    assert found["node"].startswith("22.16.")
    assert found["database"] == "PostgreSQL 16"
    facts = pipeline.facts(built_sample.state, "build", "test")
    assert {k: v for k, v in facts["verified"].items() if k != "seconds"} == found


def test_a_release_that_does_not_run_never_becomes_the_bundle(workshop: Project, write: Write) -> None:
    before = about(workshop.bundle / "app")
    source = workshop.patched / "apps/backend/src/index.ts"
    broken = 'console.error("no way to start"); process.exit(9);\n' + source.read_text()
    write(source.parent, {source.name: broken})
    with pytest.raises(DeployError) as caught:
        run(workshop)
    assert caught.value.code is Code.RELEASE_UNHEALTHY
    assert "step `backend` failed (backend_died): The backend ended with exit code 9." in caught.value.message
    assert "no way to start" in (caught.value.detail or "")
    assert about(workshop.bundle / "app") == before

    facts = run(workshop, verify=False)
    assert facts["verified"] is None
    assert facts["release"] == about(workshop.bundle / "app")["id"] != before["id"]
    assert "verified" not in about(workshop.bundle / "app")
    assert pipeline.why(build.step(workshop, build.Wishes(verify=False)), workshop.state) is None
    assert pipeline.why(build.step(workshop), workshop.state) == "release is not verified"


def test_without_the_extra_a_warning_says_what_was_not_tried(
    built_sample: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emitted: list[events.Event]
) -> None:
    app = Path(shutil.copytree(built_sample.bundle / "app", tmp_path / "app"))
    told = about(app)
    del told["verified"]
    (app / "release.json").write_text(json.dumps(told))
    work, builder = Work(tmp_path / "work", use_cache=False), node.find()
    with monkeypatch.context() as without:
        without.setattr(node, "of_extra", lambda: None)
        for module in (verify, throwaway):
            without.setattr(module, "available", lambda: None)
        found = verification.prove(app, work, builder, wanted=True)
        assert found is not None
        assert (found["node"], found["database"], found["answered"]) == (builder.version, None, [])
        [warned] = [e for e in emitted if isinstance(e, events.Warned)]
        assert "backend and migrations need a database" in warned.text
        assert "metamcp-deploy[local]" in warned.hint
        assert "seconds" not in (verification.prove(app, work, builder, wanted=True) or {})

    # The extra is there now: what was proven in part is proven wholly.
    again = verification.prove(app, work, builder, wanted=True)
    assert again is not None
    assert again["database"] == "PostgreSQL 16"
    assert about(app)["verified"]["answered"]
    assert "seconds" not in (verification.prove(app, work, builder, wanted=True) or {})
