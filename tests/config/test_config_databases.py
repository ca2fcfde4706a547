"""Kinds of database: which keys go with which, what a target inherits, and what the predecessor's names mean."""

from __future__ import annotations

from typing import Any

import pytest

from metamcp_deploy import config
from metamcp_deploy.config.explanation import explain
from tests.config.working import Work


def rows(work: Work, **more: Any) -> dict[str, str | None]:
    found = explain(work.folder, **{"target": "dev", "environ": {}, **more})
    return {r.key.removeprefix("database."): r.value for r in found if r.key.startswith("database.")}


def test_a_kind_has_its_own_keys_and_defaults(work: Work) -> None:
    work.yaml("app: {name: gateway}\ntargets: {dev: {database: {kind: provisioned, capacity: CU_2}}}")
    assert rows(work) == {
        "kind": "provisioned",
        "managed": "true",
        "instance": "gateway",
        "capacity": "CU_2",
        "name": "databricks_postgres",
        "password": None,
        "permissions": None,
        "principal": None,
        "schema": "metamcp_app",
        "usage_policy_id": None,
    }
    work.yaml("targets: {dev: {database: {kind: external, url: {secret: DB}}}}")
    assert rows(work) == {
        "kind": "external",
        "url": "secret DB",
        "password": None,
        "schema": "metamcp_app",
    }


@pytest.mark.parametrize(
    ("environ", "key"),
    [({}, "project"), ({"METAMCP_DATABASE_KIND": "provisioned"}, "instance")],
)
def test_the_predecessors_instance_name_means_what_the_kind_makes_of_it(
    work: Work, environ: dict[str, str], key: str
) -> None:
    work.yaml("targets: {dev: }")
    environ = {**environ, "LAKEBASE_INSTANCE_NAME": "lake", "LAKEBASE_DATABASE_NAME": "gateway"}
    found = rows(work, environ=environ)
    assert (found[key], found["name"]) == ("lake", "gateway")
    work.env("LAKEBASE_INSTANCE_NAME=lake\n")
    assert rows(work, environ={k: v for k, v in environ.items() if "KIND" in k})[key] == "lake"


def test_the_tag_of_this_tool_is_nobody_elses(work: Work) -> None:
    for key in ("metamcp-deploy", "MetaMCP-Deploy"):
        work.yaml(f"database: {{tags: {{{key}: mine, team: ai}}}}")
        (problem,) = config.check(work.folder)
        assert "the tag by which this tool knows what it made" in problem.text
        assert problem.origin.key == f"database.tags.{key}"


def test_a_target_of_another_kind_does_not_inherit_the_keys_of_the_first(work: Work) -> None:
    work.yaml(
        "database: {project: lake, name: gateway, schema: tables}\n"
        "targets:\n  dev: {database: {kind: external, url: {secret: DB}}}\n"
        "  stage: {database: {kind: provisioned, instance: older}}\n  prod: {}"
    )
    assert rows(work)["schema"] == "tables"
    assert rows(work, target="stage")["name"] == "gateway"
    assert rows(work, target="prod")["project"] == "lake"
    assert rows(work, target="prod", sets=["database.kind=provisioned"])["instance"] == "metamcp"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "{kind: provisioned, project: p}",
            "`targets.dev.database.project`: goes with kind autoscaling, and",
        ),
        ("{kind: provisioned, branch: b}", "`targets.dev.database.branch`: goes with kind autoscaling, and"),
        (
            "{instance: i}",
            "`targets.dev.database.instance`: goes with kind provisioned, and this database's kind",
        ),
        ("{capacity: CU_1}", "Leave `capacity` out, or change `kind`."),
        ("{url: {secret: K}}", "goes with kind external, and this database's kind is autoscaling"),
        ("{kind: external, url: {secret: K}, name: some}", "an external database is named by its URL"),
        ("{kind: external}", "`targets.dev.database.kind`: an external database needs `url: {secret: KEY}`"),
        ("{kind: provisioned, capacity: CU_3}", "found `CU_3`, expected CU_1, CU_2, CU_4 or CU_8"),
        ("{kind: external, url: 'postgresql://u:hunter2@h/d'}", "found a text, expected {secret: KEY}"),
        ("{password: hunter2}", "`targets.dev.database.password`: found a text, expected {secret: KEY}"),
    ],
)
def test_what_does_not_go_together_is_named(work: Work, text: str, problem: str) -> None:
    problems = work.problems(f"targets: {{dev: {{database: {text}}}}}\ndefault_target: dev")
    assert problem in problems[0]
    assert "hunter2" not in "".join(problems)
    assert [str(p).replace(f"{work.folder}/", "") for p in config.check(work.folder, environ={})] == problems


def test_variables_that_mean_nothing_for_the_kind_are_refused(work: Work) -> None:
    work.yaml("targets: {dev: {database: {kind: external, url: {secret: K}}}}")
    error = work.refused("dev", {"LAKEBASE_INSTANCE_NAME": "lake"})
    assert "environment LAKEBASE_INSTANCE_NAME" in error.message
    assert "this database's kind is external" in error.message


@pytest.mark.parametrize(
    ("one", "key"),
    [
        ("{kind: provisioned, instance: lake}", "database.instance"),
        ("{kind: external, url: {secret: K}}", "database.url"),
        ("{project: lake}", "database.project"),
    ],
)
def test_targets_of_one_workspace_share_no_database(work: Work, one: str, key: str) -> None:
    both = f"workspace: {{host: https://x.example.com}}, secrets: {{scope: s}}, database: {one}"
    problems = work.problems(
        f"targets:\n  a: {{app: {{name: aa}}, {both}}}\n  b: {{app: {{name: bb}}, {both}}}"
    )
    assert [p for p in problems if f"give it another `{key}`" in p]


def test_a_secret_of_the_database_and_one_of_the_app_need_different_names(work: Work) -> None:
    work.yaml("database: {password: {secret: DB_PW}}\napp: {env: {A: {secret: db-pw}}}\ntargets: {dev: }")
    assert "the secrets `DB_PW` and `db-pw` differ too little." in work.refused("dev").message


def test_a_database_of_others_may_be_shared(work: Work) -> None:
    shared = "database: {project: theirs, managed: false}, workspace: {host: https://one.example.com}"
    work.yaml(f"targets: {{a: {{app: {{name: a-1}}, {shared}}}, b: {{app: {{name: b-1}}, {shared}}}}}")
    assert getattr(work.load("b").settings.database, "project", None) == "theirs"


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("kind: external, url: {secret: U}, managed: false", "never made or changed"),
        ("min_cu: 4", "the least compute units, 4, are more than the most, 2"),
        ("min_cu: 0", "0.5 to 112"),
        ("suspend_after: 5", "60 to 604800, or never"),
        ("history_days: 1", "2 to 35"),
        ("kind: provisioned, max_cu: 2", "goes with kind autoscaling"),
    ],
)
def test_sizes_that_cannot_be(work: Work, stated: str, said: str) -> None:
    assert said in work.problems(f"targets: {{dev: {{database: {{{stated}}}}}}}")[0]
