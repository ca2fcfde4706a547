"""Files that version 0.1.0 wrote, in a workspace and in `build/state`, are read by this one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.deployments import deploy_intent, history, records
from metamcp_deploy.destroy import selection
from metamcp_deploy.errors import DeployError
from metamcp_deploy.plan import Action
from metamcp_deploy.release import releases
from metamcp_deploy.rollback import preparation
from metamcp_deploy.stages import deploy, full_plan
from metamcp_deploy.target import ledger, session
from metamcp_deploy.target.site import Site
from tests.deploy.tiny_app import changed, with_app

FOLDER = Path(__file__).parent / "written_by_0_1"
Deploy = Callable[..., pipeline.Facts]


@pytest.fixture
def target(project: Project) -> Project:
    """As version 0.1.0 deployed it."""
    return with_app(project, env={"LOG_LEVEL": "info"})


@pytest.fixture
def site(target: Project, deployed: Deploy) -> Site:
    """A target whose files are those of version 0.1.0, with the names and ids of this deployment."""
    facts = deployed(target)
    found = session.site(target)
    found.workspace.lakebase.change(f"projects/{facts['app']}", {"custom_tags": []})
    app = found.workspace.apps.get(facts["app"])
    record = json.loads(found.workspace.files.read(facts["record"]) or b"")
    names = {
        "<root>": found.root,
        "<url>": facts["url"],
        "<host>": found.workspace.host,
        "<deployment>": facts["deployment"],
        "<release>": facts["release"],
        "<principal>": app.principal,
        "<name>": facts["app"],
        "<at>": record["at"],
        "<time>": Path(facts["record"]).name.partition("-")[0],
        '"<secret written>"': str(record["secrets"]["BETTER_AUTH_SECRET"]),
    }
    places = {
        "record": facts["record"],
        "ledger": f"{found.root}/state/{ledger.NAME}",
        "deploying": f"{found.root}/state/{deploy_intent.NAME}",
    }
    for path in FOLDER.glob("*.json"):
        text = path.read_text()
        for name, value in names.items():
            text = text.replace(name, value)
        if path.stem in places:
            found.workspace.files.write(places[path.stem], text.encode())
        else:
            (target.state / path.name.removeprefix("build_state_")).write_text(text)
    return found


def test_nothing_differs_but_the_signature_and_the_mark(
    target: Project, site: Site, deployed: Deploy, seen: list[events.Event]
) -> None:
    found = full_plan.look(target, deploy.REMOTE).plan
    assert found is not None
    differing = {change.kind: change.reason for change in found.changes if change.differs}
    assert set(differing) == {"Lakebase project", "deployment"}, found.lines()
    assert "is not signed" in differing["deployment"]
    assert "gets the tag" in differing["Lakebase project"]
    assert {change.owner for change in found.of("app", "Lakebase project", "secret scope")} == {
        "metamcp-deploy"
    }
    (before,) = records.newest(site)
    seen.clear()
    after = deployed(target)
    assert after["deployment"] != before.deployment
    assert {action for action, kind in changed(seen) if kind not in differing} == {"kept"}
    assert deployed(target)["deployment"] == after["deployment"]


def test_what_is_in_the_working_folder(target: Project, site: Site) -> None:
    for stage in ("bundle-deploy", "app-deploy"):
        assert pipeline.facts(target.state, stage, "a test")["release"] == releases.built(target).id


def test_history_and_the_way_back(target: Project, site: Site, deployed: Deploy) -> None:
    (entry,) = history.look(site)
    assert (entry.kind, entry.outcome, entry.message, entry.runs) == ("deploy", "SUCCEEDED", "first", True)
    deployed(with_app(target, env={"LOG_LEVEL": "debug"}))
    with pytest.raises(DeployError, match="no valid signature"):
        preparation.look(site, preparation.Wishes())
    found = preparation.look(session.site(target), preparation.Wishes(release=entry.release))
    assert found.target.deployment == entry.deployment
    assert [d.field for d in found.plan.changes[-1].differences] == ["env.LOG_LEVEL"]


def test_a_deployment_whose_run_was_killed(site: Site) -> None:
    (record,) = records.newest(site)
    site.workspace.files.delete(record.path)
    app = site.workspace.apps.get(str(record.raw["app"]))
    found = deploy_intent.unrecorded(site, app)
    assert found is not None
    assert found.path == record.path
    assert _without_outcome(found.raw) == _without_outcome(record.raw)


def _without_outcome(raw: Any) -> dict[str, Any]:
    return {k: v for k, v in raw.items() if k not in ("outcome", "migrations_at")}


def test_destroy(target: Project, site: Site) -> None:
    name = target.settings.app.name
    found = selection.look(site, selection.Wishes(database=True, secrets=True))
    assert {thing.kind.name for thing in found.deleted} == {"app"}  # which was deployed from this root
    named = (f"projects/{name}", name)
    found = selection.look(site, selection.Wishes(database=True, secrets=True, named=named))
    assert {thing.kind.name for thing in found.deleted} == {"app", "project", "scope"}
    assert found.deletes_all
    kept = selection.look(site, selection.Wishes(named=named)).plan
    assert {c.kind for c in kept.changes if c.action is Action.KEEP} >= {"Lakebase project", "secret scope"}
