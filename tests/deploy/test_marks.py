"""Projects and instances say by a tag which target made them: that counts more than what a ledger says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from metamcp_deploy import events, local, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.destroy import deletion, selection
from metamcp_deploy.local import faults
from metamcp_deploy.plan import OURS, Action
from metamcp_deploy.target import ledger, session
from metamcp_deploy.target.site import Site
from tests.deploy.others import elsewhere
from tests.deploy.test_plan import only_of, planned
from tests.deploy.test_signed import altered
from tests.deploy.tiny_app import with_app, with_settings
from tests.embedded_people import grant, grant_scope, machine, person

Deploy = Callable[..., pipeline.Facts]
ALL = selection.Wishes(database=True, secrets=True)
KEY, BEN = "metamcp-deploy", "ben@example.com"
OTHER = "0123456789abcdef"  # of another target's root


def mark(site: Site, value: str = "") -> dict[str, str]:
    """The tag as the platform takes it; its value names nobody."""
    return {"key": KEY, "value": value or hashlib.sha256(site.root.encode()).hexdigest()[:16]}


class Thing:
    """A target's project or instance."""

    def __init__(self, project: Project, kind: str) -> None:
        self.kind, self.site, name = kind, session.site(project), project.settings.app.name
        self.name = f"projects/{name}" if kind == "Lakebase project" else name
        self.api: Any = getattr(self.site.workspace, "lakebase" if "/" in self.name else "instances")

    @property
    def tags(self) -> list[dict[str, str]]:
        found = self.api.find(self.name)
        return (found.get("status") or found).get("custom_tags") or []

    def tag(self, *tags: dict[str, str]) -> None:
        """As somebody does who may change it."""
        self.api.change(self.name, {"custom_tags": list(tags)})
        if "/" not in self.name:
            self.api.available(self.name, 60)


@pytest.fixture(params=["Lakebase project", "database instance"])
def made(request: pytest.FixtureRequest, project: Project, deployed: Deploy) -> tuple[Project, Thing]:
    kind = str(request.param)
    database = {"kind": "autoscaling" if kind == "Lakebase project" else "provisioned"}
    mine = with_settings(project, database={**database, "tags": {"team": "ai"}})
    deployed(mine)
    return mine, Thing(mine, kind)


def test_it_is_marked_when_it_is_made_or_once_later_and_other_tags_stay(
    made: tuple[Project, Thing], deployed: Deploy
) -> None:
    mine, thing = made
    team, theirs = {"key": "team", "value": "ai"}, {"key": "owner", "value": "platform"}
    assert thing.tags == [team, mark(thing.site)]
    assert not planned(mine).differs
    # Made by a version that did not mark.
    thing.tag(theirs, team)
    (change,) = [c for c in planned(mine).changes if c.differs]
    assert (change.kind, change.action, change.owner, change.differences) == (
        thing.kind,
        Action.CHANGE,
        OURS,
        (),
    )
    assert (
        change.reason == "it gets the tag metamcp-deploy, by which `destroy` knows that this target made it"
    )
    deployed(mine)
    assert thing.tags == [theirs, team, mark(thing.site)]
    assert not planned(mine).differs
    # With tags of the settings in the same change.
    thing.tag(theirs)
    change = only_of(planned(mine), thing.kind)
    assert [d.after for d in change.differences] == [{"owner": "platform", "team": "ai"}]
    deployed(mine)
    assert thing.tags == [theirs, team, mark(thing.site)]
    assert not planned(mine).differs


def test_the_tag_of_another_target_counts_more_than_our_ledger(
    made: tuple[Project, Thing], deployed: Deploy
) -> None:
    mine, thing = made
    assert ledger.read(thing.site).signed
    thing.tag({"key": "team", "value": "ai"}, mark(thing.site, OTHER))
    plan = planned(mine)
    assert not plan.differs
    assert only_of(plan, thing.kind).owner == thing.site.workspace.me
    deployed(with_app(mine, env={"A": "1"}))
    assert thing.tags[1]["value"] == OTHER
    found = selection.look(thing.site, ALL)
    (change,) = found.plan.of(thing.kind)
    why = f"its tag metamcp-deploy names another target; --named {thing.name} deletes it"
    assert (change.action, change.owner, change.reason) == (Action.CHECK, "", why)
    deletion.run(thing.site, replace(ALL, named=(thing.name,)))
    assert thing.api.find(thing.name) is None


def test_the_mark_proves_what_an_unsigned_ledger_names(made: tuple[Project, Thing]) -> None:
    _, thing = made
    altered(thing.site, ledger.path_of(thing.site.root), signature="none")
    assert not ledger.read(thing.site).signed
    assert thing.name in {one.name for one in selection.look(thing.site, ALL).deleted}
    thing.tag()
    (change,) = selection.look(thing.site, ALL).plan.of(thing.kind)
    assert change.reason.startswith("neither it nor a signed ledger says that this target made it; --named")


@pytest.mark.parametrize("kind", ["autoscaling", "provisioned"])
def test_a_workspace_that_refuses_the_tag_is_deployed_to_without_it(
    base: Project, project: Project, deployed: Deploy, seen: list[events.Event], kind: str
) -> None:
    mine, running = with_settings(project, database={"kind": kind}), local.up(base)
    path = "postgres/projects" if kind == "autoscaling" else "database/instances"
    for request in (f"POST /api/2.0/{path}", f"PATCH /api/2.0/{path}/*"):
        seen.clear()
        with faults.injected(running, faults.Fault("400", request, calls="1", message="no such tag")):
            deployed(mine)
        (told,) = [e.text for e in seen if isinstance(e, events.Warned) and "refused the tag" in e.text]
        assert "`destroy` goes by the signed ledger" in told
        assert "no such tag" in told
    thing = Thing(mine, "Lakebase project" if kind == "autoscaling" else "database instance")
    assert not thing.tags
    assert thing.name in {one.name for one in selection.look(thing.site, ALL).deleted}
    deployed(mine)
    assert thing.tags == [mark(thing.site)]


def test_only_who_owns_it_marks_it_later(
    base: Project, project: Project, deployed: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = project.settings.app.name
    root = f"/Workspace/Shared/{name}"
    mine = with_settings(project, workspace={"root_path": root})
    deployed(mine)
    thing, running = Thing(mine, "Lakebase project"), local.up(base)
    thing.tag()
    assert only_of(planned(mine), thing.kind).differs
    made = person(running, BEN)
    grant(running, "apps", name, "CAN_MANAGE", user_name=BEN)
    grant(running, "database-projects", name, "CAN_USE", user_name=BEN)
    grant_scope(running, name, "READ", BEN)
    for variable, value in machine(made).items():
        monkeypatch.setenv(variable, value)
    his = elsewhere(mine, running.url, root)
    change = only_of(planned(his), thing.kind)
    assert (change.action, change.owner) == (Action.KEEP, OURS)
