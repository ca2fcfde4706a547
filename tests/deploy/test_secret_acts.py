"""Secrets of a target: made once, never shown, never written over; listed, set and rotated."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from metamcp_deploy import events, local, pipeline
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.deployments import records
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.faults import Fault, injected
from metamcp_deploy.secrets import keys, rotation
from metamcp_deploy.target import ledger, session, signing
from metamcp_deploy.target.site import Site
from tests import commands
from tests.deploy.tiny_app import changed, with_app, write_bundle

Deploy = Callable[..., pipeline.Facts]
Seen = list[events.Event]
KEY = "BETTER_AUTH_SECRET"


def value(project: Project, key: str = KEY) -> str | None:
    found = session.connect(project).secrets.get(project.settings.secret_scope, key)
    return found.reveal() if found else None


def with_secrets(project: Project, **fields: Any) -> Project:
    dump = project.settings.model_dump(by_alias=True)
    return replace(project, settings=Settings.model_validate({**dump, "secrets": fields}))


def environment(project: Project, facts: pipeline.Facts) -> dict[str, str]:
    headers = session.connect(project).app_headers()
    found: dict[str, str] = requests.get(facts["url"] + "/env", headers=headers, timeout=120).json()
    return found


def refused(code: Code, call: Callable[..., object], *given: Any, **named: Any) -> DeployError:
    with pytest.raises(DeployError) as caught:
        call(*given, **named)
    assert caught.value.code is code
    return caught.value


@pytest.fixture
def site(project: Project) -> Site:
    return session.site(project)


@pytest.fixture
def command(project: Project) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command for the project's app, without a terminal."""
    commands.write_target(project)

    def run(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return commands.run(*words, "-t", "local", folder=project.folder, given=given)

    return run


# -- the one that signs sign-ins --------------------------------------------------------------------------------------


def test_made_once_from_strong_randomness_and_never_shown(
    project: Project, deployed: Deploy, seen: Seen
) -> None:
    facts = deployed(project)
    first = value(project)
    assert first is not None
    assert len(first) == 64  # 48 bytes
    assert environment(project, facts)[KEY] == first
    assert deployed(project) == facts
    assert value(project) == first
    assert first not in "".join(map(str, seen))
    assert ("created", "secret") in changed(seen)
    made = ledger.read(session.site(project))
    assert made.has("secrets", f"{project.settings.secret_scope}/{KEY}")


def test_one_that_is_given_is_stored_and_another_is_an_error(project: Project, deployed: Deploy) -> None:
    given = replace(project, secrets={KEY: Secret("given-by-the-environment-0123456789")})
    deployed(given)
    assert value(project) == "given-by-the-environment-0123456789"
    deployed(given)
    deployed(project)
    other = replace(project, secrets={KEY: Secret("another-one-0123456789-0123456789")})
    error = refused(Code.CONFIG_CONFLICT, deployed, other)
    assert f"secrets rotate -t {project.settings.target}" in error.hint
    assert "another-one" not in f"{error.message} {error.hint} {error.detail}"
    assert value(project) == "given-by-the-environment-0123456789"


@pytest.mark.parametrize("what", ["lost", "reset", "truncated", "500"])
@pytest.mark.parametrize("route", ["POST /api/2.0/secrets/put", "POST /api/2.0/secrets/scopes/create"])
def test_a_fault_while_it_is_made_changes_it_never(
    project: Project, deployed: Deploy, what: str, route: str
) -> None:
    seen: list[str | None] = []
    with injected(local.up(project), Fault(what, route, calls="1")) as struck:
        try:
            deployed(project)
        except DeployError as e:
            assert e.code is Code.WORKSPACE_ANSWER  # noqa: PT017 - either way is right, and what follows is the point
        seen.append(value(project))
        assert struck() == 1
    facts = deployed(project)
    made = value(project)
    assert made is not None
    assert environment(project, facts)[KEY] == made
    assert seen[0] in (None, made)


def test_a_list_that_lags_behind_does_not_overwrite_it(
    project: Project, site: Site, deployed: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.store(site, KEY, Secret("a-value-that-must-survive-0123456789"))
    monkeypatch.setattr(type(site.workspace.secrets), "written", lambda *_: {})
    deployed(project)
    monkeypatch.undo()
    assert value(project) == "a-value-that-must-survive-0123456789"


def test_all_missing_keys_are_named_with_what_needs_them(project: Project, deployed: Deploy) -> None:
    env = {"API_KEY": {"secret": "ONE"}, "B": {"secret": "TWO"}}
    wanting = with_app(project, env=env)
    error = refused(Code.NOT_FOUND, deployed, wanting)
    assert "ONE (for app.env.API_KEY), TWO (for app.env.B)" in error.message
    assert error.hint == "metamcp-deploy secrets set ONE -t local"
    assert session.connect(project).secrets.written(project.settings.secret_scope) is None


def test_its_key_can_be_another(project: Project, deployed: Deploy) -> None:
    hyphens = with_secrets(project, better_auth_secret="better-auth-secret")
    facts = deployed(hyphens)
    assert environment(project, facts)[KEY] == value(project, "better-auth-secret")
    assert value(project) is None


# -- somebody else's scope --------------------------------------------------------------------------------------------


def test_managed_elsewhere_is_used_and_never_written(project: Project, site: Site, deployed: Deploy) -> None:
    theirs = with_secrets(project, managed=False)
    error = refused(Code.NOT_FOUND, deployed, theirs)
    assert "BETTER_AUTH_SECRET (for BETTER_AUTH_SECRET) in scope" in error.message
    assert "its owner" in error.hint.lower()
    site.workspace.secrets.create_scope(project.settings.secret_scope)
    site.workspace.secrets.put(
        project.settings.secret_scope, KEY, Secret("theirs-0123456789-0123456789-0123")
    )
    facts = deployed(theirs)
    assert environment(project, facts)[KEY].startswith("theirs-")
    assert not ledger.read(site).has("scope", project.settings.secret_scope)
    refused(Code.CONFIG_CONFLICT, keys.store, session.site(theirs), "OTHER", Secret("x"))
    refused(Code.CONFIG_CONFLICT, rotation.rotate, session.site(theirs))


def test_a_vault_is_read_and_never_written(project: Project, base: Project, deployed: Deploy) -> None:
    running, scope = local.up(base), project.settings.secret_scope
    vault = {"resource_id": "/subscriptions/s/vaults/v", "dns_name": "https://v.vault.example.com/"}
    body = {"scope": scope, "scope_backend_type": "AZURE_KEYVAULT", "backend_azure_keyvault": vault}

    def post(path: str, document: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {running.token.reveal()}"}
        answer = requests.post(running.url + path, json=document, headers=headers, timeout=120)
        assert answer.status_code == 200, answer.text

    post("/api/2.0/secrets/scopes/create", body)
    error = refused(Code.NOT_FOUND, deployed, project)
    assert vault["dns_name"] in error.hint
    assert "BETTER-AUTH-SECRET" in error.hint  # a vault takes no underscore
    hyphens = with_secrets(project, better_auth_secret="BETTER-AUTH-SECRET")
    write_bundle(hyphens)
    site = session.site(hyphens)
    assert keys.look(site).vault == vault["dns_name"]
    assert "https://v.vault" in refused(Code.NOT_FOUND, deployed, hyphens).hint
    refused(Code.CONFIG_CONFLICT, keys.store, site, "ANY", Secret("x"))
    refused(Code.CONFIG_CONFLICT, rotation.rotate, site)
    kept = {"scope": scope, "key": "BETTER-AUTH-SECRET", "string_value": "kept-in-the-vault-0123456789-0123"}
    post("/local/vault", kept)
    facts = deployed(hyphens)
    assert environment(hyphens, facts)[KEY] == kept["string_value"]


# -- secrets set ------------------------------------------------------------------------------------------------------


def test_set_makes_scope_and_key_and_claims_them(project: Project, site: Site, seen: Seen) -> None:
    scope = project.settings.secret_scope
    assert not keys.look(site).exists
    keys.store(site, "API_KEY", Secret("first"))
    assert value(project, "API_KEY") == "first"
    made = ledger.read(site)
    assert made.has("scope", scope)
    assert made.has("secrets", f"{scope}/API_KEY")
    keys.store(site, "API_KEY", Secret("second"))
    assert value(project, "API_KEY") == "second"
    assert changed(seen)[-1] == ("changed", "secret")
    keys.store(site, KEY, Secret("mine-0123456789-0123456789-0123456789"))
    error = refused(
        Code.CONFIG_CONFLICT, keys.store, site, KEY, Secret("again-0123456789-0123456789-0123456789")
    )
    assert "secrets rotate -t local" in error.hint
    refused(Code.USAGE, keys.store, site, "EMPTY", Secret(""))
    refused(Code.USAGE, keys.store, site, "LONG", Secret("x" * 131_073))


def test_the_commands_take_values_from_standard_input_only(project: Project, command: Any) -> None:
    done = command("secrets", "set", "API_KEY", "-o", "json", given="line one\nline two\n")
    assert (done.returncode, json.loads(done.stdout)["action"]) == (0, "created")
    assert value(project, "API_KEY") == "line one\nline two"
    assert "line" not in done.stdout + done.stderr
    assert command("secrets", "set", "API_KEY", "a-value-as-an-argument").returncode == 2
    assert command("secrets", "set", "API_KEY").returncode == 2  # nothing on standard input
    assert command("secrets", "set", "no key!", given="x").returncode == 2
    plan = command("secrets", "set", "API_KEY", "--plan", "-o", "json")
    assert [c["action"] for c in json.loads(plan.stdout)["changes"]] == ["keep", "change"]
    assert value(project, "API_KEY") == "line one\nline two"


def test_the_prompt_does_not_echo(project: Project, command: Any) -> None:
    main, other = pty.openpty()
    argv = [sys.executable, "-m", "metamcp_deploy", "secrets", "set", "TYPED", "-t", "local"]
    child = subprocess.Popen(
        argv, cwd=project.folder, stdin=other, stdout=other, stderr=other, close_fds=True
    )
    os.close(other)
    shown = b""
    for word in (b"Value of TYPED", b"Repeat"):
        while word not in shown:
            shown += os.read(main, 4096)
        time.sleep(0.1)  # the echo is switched off after the prompt is shown
        os.write(main, b"typed-by-a-person\n")
    assert child.wait(120) == 0
    try:
        while more := os.read(main, 4096):
            shown += more
    except OSError:
        pass
    os.close(main)
    assert value(project, "TYPED") == "typed-by-a-person"
    assert b"typed-by" not in shown


# -- secrets list -----------------------------------------------------------------------------------------------------


def test_list_names_uses_and_gaps_and_no_value(project: Project, site: Site) -> None:
    wanting = session.site(with_app(project, env={"A": {"secret": "ONE"}, "B": {"secret": "ONE"}}))
    keys.store(site, "OTHER", Secret("not-to-be-shown"))
    found = keys.look(wanting)
    assert [(k.name, k.uses, k.written is not None) for k in found.keys] == [
        ("BETTER_AUTH_SECRET", ("BETTER_AUTH_SECRET",), False),
        ("ONE", ("app.env.A", "app.env.B"), False),
        (signing.KEY, ("signature of records and ledger",), True),
        ("OTHER", (), True),
    ]
    assert abs((found.key("OTHER").written or 0) / 1000 - time.time()) < 60
    assert "not-to-be-shown" not in repr(found)


def test_list_as_a_command_also_without_a_configuration(
    project: Project, deployed: Deploy, command: Any, tmp_path: Path
) -> None:
    deployed(project)
    document = json.loads(command("secrets", "list", "-o", "json").stdout)
    assert [(s["key"], s["there"]) for s in document["secrets"]] == [
        (KEY, True),
        (signing.KEY, True),
    ]
    text = command("secrets", "list").stdout
    assert KEY in text
    assert "last written" in text
    running = local.up(project)
    login = {"DATABRICKS_HOST": running.url, "DATABRICKS_CLIENT_ID": running.client_id}
    login |= {"DATABRICKS_CLIENT_SECRET": running.client_secret.reveal()}
    words = ("secrets", "list", "-o", "json", "--app", project.settings.app.name)
    bare = commands.run(*words, folder=tmp_path, env={**os.environ, **login})
    document = json.loads(bare.stdout)
    assert document["scope"] == project.settings.secret_scope
    assert document["secrets"][0]["used_for"] == ["resource better-auth-secret"]


# -- secrets rotate ---------------------------------------------------------------------------------------------------


def test_rotate_starts_what_runs_again_with_another_value(
    project: Project, deployed: Deploy, seen: Seen
) -> None:
    first = deployed(with_app(project, env={"LOG_LEVEL": "debug"}))
    old = value(project)
    site = session.site(project)  # whose settings differ from what runs: they are not deployed by the way
    second = rotation.rotate(site)
    assert second not in (None, first["deployment"])
    env = environment(project, first)
    assert env[KEY] == value(project) != old
    assert env["LOG_LEVEL"] == "debug"
    record = records.newest(site, 1)[0]
    assert (record.deployment, record.raw["message"], record.outcome) == (
        second,
        f"{KEY} rotated",
        "SUCCEEDED",
    )
    before = records.find(site, first["deployment"])
    assert before is not None
    assert record.raw["desired"] == before.raw["desired"]  # what tells later what was changed by hand
    assert (value(project) or "?") not in str(seen)
    assert deployed(with_app(project, env={"LOG_LEVEL": "debug"}))["deployment"] == second


def test_killed_between_the_value_and_the_deployment(project: Project, deployed: Deploy) -> None:
    first = deployed(project)
    site = session.site(project)
    with injected(local.up(project), Fault("500", "POST /api/2.0/apps/*/deployments")):
        refused(Code.WORKSPACE_ANSWER, rotation.rotate, site)
    assert environment(project, first)[KEY] != value(project)
    second = deployed(project)
    assert second["deployment"] != first["deployment"]
    assert environment(project, second)[KEY] == value(project)


def test_rotate_where_nothing_runs(project: Project, site: Site, deployed: Deploy, seen: Seen) -> None:
    assert rotation.rotate(site) is None
    first = value(project)
    facts = deployed(project)
    assert environment(project, facts)[KEY] == first
    site.workspace.apps.stop(facts["app"])
    assert rotation.rotate(site) is None
    assert "gets the new value when it starts" in " ".join(e.text for e in seen if isinstance(e, events.Note))
    assert rotation.look(site, None).plan().of("app") == ()


def test_rotate_refuses_what_is_easy_to_guess(site: Site) -> None:
    error = refused(Code.USAGE, rotation.rotate, site, None, Secret("too short"))
    assert "has 9 characters" in error.message
    assert "too short" not in error.message


def test_rotate_as_a_command_says_what_ends_and_asks(
    project: Project, deployed: Deploy, command: Any
) -> None:
    deployed(project)
    before = value(project)
    done = command("secrets", "rotate", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (2, "usage")
    assert "--auto-approve" in json.loads(done.stdout)["error"]["hint"]
    plan = json.loads(command("secrets", "rotate", "--plan", "-o", "json").stdout)
    assert [(c["action"], c["kind"]) for c in plan["changes"]] == [("change", "secret"), ("deploy", "app")]
    assert value(project) == before
    done = command("secrets", "rotate", "--auto-approve", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert "Everybody is signed out" in done.stderr
    assert json.loads(done.stdout)["health"]["status"] == "healthy"
    after = value(project)
    assert after != before
    given = "chosen-by-a-person-0123456789-0123456789"
    done = command("secrets", "rotate", "--auto-approve", "--stdin", given=given + "\n")
    assert (done.returncode, value(project)) == (0, given)
    assert given not in done.stdout + done.stderr
    assert (after or "?") not in done.stdout + done.stderr
