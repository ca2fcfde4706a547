"""A colleague who may write to the target's root, and cannot read its secrets, writes records and a ledger there."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from metamcp_deploy import events, local, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.deployments import deploy_intent, history, records
from metamcp_deploy.destroy import deletion, selection
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local import faults
from metamcp_deploy.plan import Action
from metamcp_deploy.rollback import execution, preparation
from metamcp_deploy.secrets import keys, rotation
from metamcp_deploy.stages import deploy, full_plan
from metamcp_deploy.target import ledger, session, signing
from metamcp_deploy.target.signing import Signer
from metamcp_deploy.target.site import Site
from tests.deploy.tiny_app import APP, with_app, write_bundle

Deploy = Callable[..., pipeline.Facts]
ALL = selection.Wishes(database=True, secrets=True)


def altered(site: Site, path: str, **fields: Any) -> None:
    """As somebody without the key changes a file: the rest of it stays, its signature, too."""
    before = json.loads(site.workspace.files.read(path) or b"")
    site.workspace.files.write(path, json.dumps({**before, **fields}).encode())


def refused(act: Callable[[], object]) -> DeployError:
    with pytest.raises(DeployError) as caught:
        act()
    return caught.value


def test_a_signature_is_over_content_place_and_root() -> None:
    signer, content = Signer("/root/a", (b"key",)), {"b": [1, "\u00e4"], "a": None}
    path = "/root/a/deployments/1.json"
    kept = json.loads(signer.sealed(path, content))
    text = b'{"content":{"a":null,"b":[1,"\\u00e4"]},"path":"deployments/1.json","root":"/root/a"}'
    assert kept == {**content, "signature": hmac.new(b"key", text, hashlib.sha256).hexdigest()}
    assert signer.valid(path, kept)
    assert Signer("/root/a", (b"new", b"key")).valid(path, kept)  # while the key is rotated
    for other, where, what in (
        (signer, "/root/a/deployments/2.json", kept),
        (signer, path, {**kept, "a": 1}),
        (signer, path, {**kept, "signature": "\u00e4"}),
        (signer, path, content),
        (Signer("/root/b", (b"key",)), "/root/b/deployments/1.json", kept),
        (Signer("/root/a", (b"other",)), path, kept),
        (Signer("/root/a"), path, kept),
    ):
        assert not other.valid(where, what)
    assert "signature" not in json.loads(Signer("/root/a").sealed(path, kept))


def test_a_rollback_does_not_send_a_forged_environment(project: Project, deployed: Deploy) -> None:
    site = session.site(project)
    first = deployed(with_app(project, env={"LOG_LEVEL": "debug"}))
    write_bundle(project, APP + "// the second release")
    deployed(project)
    hers = [{"name": "NODE_EXTRA", "value": "hers"}]
    altered(site, first["record"], env=hers)
    assert [(e.deployment == first["deployment"], e.signed) for e in history.look(site)] == [
        (False, True),
        (True, False),
    ]
    error = refused(lambda: execution.run(site, preparation.Wishes()))
    assert (error.code, f"--id {first['release']}" in error.hint) == (Code.RECORD_UNSIGNED, True)
    bare = Site(replace(project, bare=True), site.workspace, site.root)
    named = preparation.Wishes(first["deployment"], release=first["release"])
    assert refused(lambda: preparation.look(bare, named)).code is Code.RECORD_UNSIGNED
    mine = session.site(with_app(project, env={"MINE": "1"}))
    (told,) = preparation.look(mine, named).plan.of("record")
    assert {(d.field, d.before, d.after) for d in told.differences} >= {
        ("env.NODE_EXTRA", "hers", None),
        ("env.MINE", None, "1"),
    }
    done = execution.run(mine, named)
    ran = records.newest(site, 1)[0]
    assert (ran.deployment, ran.signed, ran.release) == (done.deployment, True, first["release"])
    assert {e["name"]: e.get("value") for e in ran.raw["env"]}["MINE"] == "1"
    assert "NODE_EXTRA" not in json.dumps(ran.raw)


def test_a_forged_record_or_intent_says_nothing_about_what_runs(project: Project, deployed: Deploy) -> None:
    """Neither "nothing to do" for what does not run, nor a signature for what she wrote, nor her file before ours."""
    site = session.site(project)
    first = deployed(project)
    good = json.loads(site.workspace.files.read(first["record"]) or b"")
    place = f"{site.root}/deployments/99990101T000000.000Z-1.json"
    wrong = {
        "upstream": "x",
        "configuration": "x",
        "message": 5,
        "pipeline": [1],
        "of": 5,
        "at": "../x",
        "env": 5,
    }
    for content in (
        *(json.dumps({**good, name: value}).encode() for name, value in wrong.items()),
        b"[" * 100_000,
    ):
        site.workspace.files.write(place, content)
        assert [entry.deployment for entry in history.look(site)] == [first["deployment"]], content[:300]
    site.workspace.files.delete(place)
    wanted = with_app(project, env={"SIGN": "closed"})
    content = site.workspace.files.read(first["record"]) or b""
    hers = f"{site.root}/deployments/99990101T000000.000Z-{first['deployment']}.json"
    site.workspace.files.write(hers, content)
    found = records.find(site, first["deployment"])
    assert found is not None
    assert (found.path, found.signed) == (first["record"], True)
    site.workspace.files.delete(hers)
    env = [*found.raw["env"], {"name": "SIGN", "value": "closed"}]
    altered(site, first["record"], env=env, outcome="IN_PROGRESS")
    records.amend_by_id(site, first["deployment"], outcome="UNHEALTHY")
    assert not records.newest(site, 1)[0].signed
    assert rotation.look(site, None).running is None
    second = deployed(wanted)
    assert second["deployment"] != first["deployment"]
    # The record of what runs goes, and a draft takes its place.
    site.workspace.files.delete(second["record"])
    intent = deploy_intent.path_of(site.root)
    draft = json.loads(site.workspace.files.read(intent) or b"")["record"]
    altered(site, intent, record={**draft, "env": [*draft["env"], {"name": "HERS", "value": "1"}]})
    app = site.workspace.apps.get(project.settings.app.name)
    for moment in ("../../../Users/other", 5):  # it is part of the path at which the record would be written
        altered(site, intent, record={**draft, "at": moment})
        assert deploy_intent.unrecorded(site, app) is None
    altered(site, intent, record={**draft, "env": [*draft["env"], {"name": "HERS", "value": "1"}]})
    unrecorded = deploy_intent.unrecorded(site, app)
    assert unrecorded is not None
    assert not unrecorded.signed
    third = deployed(with_app(wanted, env={"SIGN": "closed", "HERS": "1"}))
    assert third["deployment"] != second["deployment"]


def test_destroy_does_not_take_what_a_forged_ledger_names(project: Project, deployed: Deploy) -> None:
    deployed(project)
    site, name = session.site(project), project.settings.app.name
    site.workspace.lakebase.create("projects/finance", {"display_name": "finance"})
    path = ledger.path_of(site.root)
    honest = ledger.read(site)
    altered(site, path, made={**honest.made, "project": [f"projects/{name}", "projects/finance"]})
    found = selection.look(site, ALL)
    assert {(thing.kind.name, thing.name) for thing in found.deleted} == {
        ("app", name),  # deployed from this root
        ("project", f"projects/{name}"),  # tagged by this target
    }
    assert [(c.action, c.owner, c.name) for c in found.plan.of("Lakebase project")[1:]] == [
        (Action.CHECK, "", "projects/finance")
    ]
    assert not found.deletes_all
    assert "--named projects/finance deletes it" in "\n".join(found.plan.lines())
    assert refused(lambda: selection.look(site, replace(ALL, named=("finance",)))).code is Code.USAGE
    deletion.run(site, ALL)
    assert site.workspace.lakebase.find("projects/finance")
    assert site.workspace.lakebase.find(f"projects/{name}") is None
    site.workspace.lakebase.delete("projects/finance", 60, purge=True)


def test_what_is_unsigned_is_signed_by_what_the_workspace_says(project: Project, deployed: Deploy) -> None:
    """Ledger and record of an older version: the next deployment makes the key and signs what it can check."""
    first = deployed(project)
    site, name = session.site(project), project.settings.app.name
    site.workspace.secrets.delete(name, signing.KEY)
    # Made by the same login, for another target.
    tag = {"key": "metamcp-deploy", "value": "0123456789abcdef"}
    site.workspace.lakebase.create("projects/finance", {"display_name": "finance", "custom_tags": [tag]})
    site.workspace.secrets.put(name, "FINANCE", Secret("somebody's"))
    for path in (ledger.path_of(site.root), first["record"]):
        document = json.loads(site.workspace.files.read(path) or b"")
        document.pop("signature")
        if "made" in document:
            document["made"]["project"].append("projects/finance")
            document["made"]["secrets"].remove(f"{name}/{signing.KEY}")
            document["made"]["secrets"].append(f"{name}/FINANCE")
        site.workspace.files.write(path, json.dumps(document).encode())
    plan = full_plan.look(project, deploy.REMOTE).plan
    assert plan is not None
    assert {(c.kind, c.name) for c in plan.changes if c.differs} == {
        ("secret", f"{name}/{signing.KEY}"),
        ("deployment", f"of release {first['release']}"),
    }
    second = deployed(project)
    made = ledger.read(session.site(project))
    assert made.signed
    assert made.proves("app", name)
    assert made.proves("project", f"projects/{name}")
    assert made.proves("scope", name)
    assert made.unproven == {"project": ("projects/finance",), "secrets": (f"{name}/FINANCE",)}
    taken = {(thing.kind.name, thing.name) for thing in selection.look(session.site(project), ALL).deleted}
    assert ("secrets", f"{name}/BETTER_AUTH_SECRET") in taken
    assert not taken & {("scope", name), ("secrets", f"{name}/FINANCE"), ("project", "projects/finance")}
    assert records.newest(session.site(project), 1)[0].signed
    assert deployed(project)["deployment"] == second["deployment"]
    site.workspace.lakebase.delete("projects/finance", 60, purge=True)


def test_who_may_not_read_the_key_is_told_so_once(
    base: Project, project: Project, deployed: Deploy, seen: list[events.Event]
) -> None:
    deployed(project)
    deployed(with_app(project, env={"A": "1"}))
    running, scope, me = local.up(base), project.settings.secret_scope, "developer@example.com"

    def rolled_back() -> None:
        with pytest.raises(DeployError) as caught:
            preparation.look(session.site(project), preparation.Wishes())
        assert caught.value.code is Code.RECORD_UNSIGNED

    acts: dict[str, Callable[[], object]] = {
        "plan": lambda: full_plan.look(project, deploy.REMOTE),
        "history": lambda: history.look(session.site(project)),
        "rollback": rolled_back,
        "deploy": lambda: deployed(with_app(project, env={"A": "2"})),
    }
    for name, act in acts.items():
        seen.clear()
        with faults.injected(running, faults.Fault("403", "GET /api/2.0/secrets/get")), session.shared():
            act()
        (told,) = [e for e in seen if isinstance(e, events.Warned) and signing.KEY in e.text]
        assert "count as unsigned" in told.text, name
        assert f"databricks secrets put-acl {scope} {me} READ" in told.hint
    seen.clear()
    history.look(session.site(project))
    assert not [e for e in seen if isinstance(e, events.Warned)]


def test_who_may_not_read_the_key_believes_no_record(project: Project, deployed: Deploy) -> None:
    """Whether hers or ours cannot be seen: she could write "nothing to do" over what does not run."""
    first = deployed(project)
    running = local.up(project)
    site = session.site(project)
    with faults.injected(running, faults.Fault("403", "GET /api/2.0/secrets/get")), session.shared():
        found = full_plan.look(project, deploy.REMOTE)
        assert found.plan is not None
        (change,) = [c for c in found.plan.changes if c.kind == "deployment"]
        assert change.action is Action.DEPLOY
        assert "may not read the key" in change.reason
        assert rotation.look(session.site(project), None).running is None
        assert not ledger.intends(session.site(project), "app", "any")
        second = deployed(project)
    assert second["deployment"] != first["deployment"]
    assert not records.newest(site, 1)[0].signed
    third = deployed(project)  # by somebody who may
    assert third["deployment"] != second["deployment"]
    assert deployed(project)["deployment"] == third["deployment"]


def test_the_key_is_kept_and_rotated_and_goes_with_the_scope(project: Project, deployed: Deploy) -> None:
    first = deployed(project)
    second = deployed(with_app(project, env={"A": "1"}))
    site, scope = session.site(project), project.settings.secret_scope
    altered(site, first["record"], message="hers")
    before = site.workspace.secrets.get(scope, signing.KEY)
    assert keys.look(site).key(signing.KEY).uses
    assert refused(lambda: keys.settable(site, signing.KEY)).code is Code.CONFIG_CONFLICT
    assert rotation.rotate(site, signing.KEY) is None
    after = site.workspace.secrets.get(scope, signing.KEY)
    assert before is not None
    assert after is not None
    assert before.reveal() not in after.reveal()
    fresh = session.site(project)
    assert [r.signed for r in records.newest(fresh)] == [True, False]
    assert ledger.read(fresh).signed
    assert deployed(with_app(project, env={"A": "1"}))["deployment"] == second["deployment"]
    site.workspace.secrets.put(
        scope, signing.KEY, Secret(f"next {after.reveal()}")
    )  # a rotation that was killed
    assert records.newest(session.site(project), 1)[0].signed
    deletion.run(session.site(project), ALL)
    assert site.workspace.secrets.written(scope) is None
