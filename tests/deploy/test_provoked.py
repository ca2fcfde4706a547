"""Failures of `tests.doctor.provoking` that a tiny app can show: some with each commit, others with the next.

`python -m tests.doctor.provoke` provokes all of them, with the sample or the real upstream.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metamcp_deploy import pipeline
from metamcp_deploy.config.project import Project
from tests import commands
from tests.doctor.provoking import runner
from tests.doctor.provoking.case import CASES
from tests.doctor.provoking.scene import Scene, above_notes

# Quick ones; the database holds no schema of MetaMCP.
_QUICK = (
    *("stopped", "app-of-another-name", "nothing-deployed", "secret-deleted", "scope-deleted"),
    *("secret-access-taken", "database-detached", "secret-detached", "another-key-attached"),
    *("another-database-attached", "endpoint-disabled", "role-may-not-log-in", "connect-revoked"),
    *("read-only", "role-without-connections", "workspace-resets", "address-blocked", "login-expired"),
    *("rate-limited", "workspace-busy", "personal-token", "wrong-secret", "wrong-profile"),
    *("no-right-on-the-app", "database-refuses-this-login", "database-away-from-here"),
)
_EACH = 4  # with one commit


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


@pytest.fixture
def scene(project: Project, deployed: Callable[..., pipeline.Facts]) -> Iterator[Scene]:
    deployed(project)
    commands.write_target(project)
    made = Scene(project.folder, {})
    made.name = project.settings.app.name
    made.__dict__["project"] = project
    made.physical = made.the_database()
    yield made
    made.undo()
    (project.folder / "metamcp.yaml").unlink()


@pytest.mark.parametrize("name", sorted(random.Random(_commit()).sample(_QUICK, _EACH)))
def test_a_provoked_failure_is_named_and_nothing_else(scene: Scene, name: str) -> None:
    row = runner.Row(CASES[name])
    row.case.provoke(scene)
    runner.named(scene, row)
    assert row.named == [row.case.id], row.remarks
    scene.undo()


def test_what_a_login_may_not_see_is_a_note(scene: Scene) -> None:
    CASES["database-refuses-this-login"].provoke(scene)
    assert above_notes(scene.look()) == []


def test_the_table_names_diagnoses_that_exist() -> None:
    from metamcp_deploy import knowledge
    from metamcp_deploy.errors import Code

    codes = {code.value.replace("_", "-") for code in Code}
    assert [one.id for one in CASES.values() if one.id not in codes and knowledge.find(one.id) is None] == []
    assert len({one.id for one in CASES.values()}) >= 40
    assert {*_QUICK} <= {*CASES}
