"""How many requests deployments take, and which: golden/*.txt."""

from __future__ import annotations

from typing import Any

import pytest

from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.destroy import deletion
from metamcp_deploy.destroy.selection import Wishes
from metamcp_deploy.rollback import execution, preparation
from metamcp_deploy.stages import deploy
from metamcp_deploy.target import session
from tests.deploy import golden
from tests.deploy.tiny_app import with_app, with_settings, write_databricks_yml

# Of a first deployment, 7 hold what was sent against the release's id, and 7 what the platform took; one asks for
# deleted projects, the ids of which are reserved; 6 look at the lock before the ledger, the deployment and its record;
# two look for the key that signs records and ledger, and make it.
FIRST, AGAIN = 65, 15
LOGIN = 3  # the SDK asks for the workspace's settings, its OAuth endpoints and a token
ME = "developer@example.com"
DATABASES: dict[str, dict[str, Any]] = {
    "autoscaling": {"kind": "autoscaling"},
    "provisioned": {"kind": "provisioned"},
    "external": {"kind": "external", "url": {"secret": "DB"}},
}


def deployed(project: Project) -> None:
    write_databricks_yml(project)
    deploy.run(project, deploy.REMOTE)


@pytest.mark.parametrize("kind", DATABASES)
def test_first_nothing_changed_and_one_setting(project: Project, kind: str) -> None:
    mine = with_settings(project, database=DATABASES[kind])
    if kind == "external":
        workspace = session.connect(mine)
        workspace.secrets.create_scope(mine.settings.secret_scope)
        workspace.secrets.put(mine.settings.secret_scope, "DB", Secret("postgresql://a:b@127.0.0.1:1/d"))
    first = golden.listed(f"first-{kind}", mine, ME, lambda: deployed(mine))
    assert golden.counted(first) + LOGIN <= FIRST
    again = golden.listed(f"again-{kind}", mine, ME, lambda: deployed(mine))
    assert golden.counted(again) + LOGIN <= AGAIN
    assert {line.removeprefix("(wait) ").split()[0] for line in again} == {"GET"}
    if kind == "autoscaling":
        changed = with_app(mine, env={"LOG_LEVEL": "debug"})
        golden.listed("one-setting", mine, ME, lambda: deployed(changed))


def test_rollback_and_destroy(project: Project) -> None:
    deployed(project)
    deployed(with_app(project, env={"LOG_LEVEL": "debug"}))
    golden.listed("rollback", project, ME, lambda: rolled_back(project))
    golden.listed("destroy", project, ME, lambda: destroyed(project, Wishes()))
    golden.listed("destroy-the-rest", project, ME, lambda: destroyed(project, Wishes(True, True)))


def rolled_back(project: Project) -> None:
    with session.shared():
        execution.run(session.site(project), preparation.Wishes())


def destroyed(project: Project, wishes: Wishes) -> None:
    with session.shared():
        deletion.run(session.site(project), wishes)
