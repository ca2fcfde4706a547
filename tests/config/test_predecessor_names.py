"""The predecessor's `.env` and its pipelines, taken as they are: the right target, or a refusal that says why."""

from __future__ import annotations

import pytest

from metamcp_deploy.errors import Code
from tests.config.working import Work

M2M = {"DATABRICKS_CLIENT_ID": "id", "DATABRICKS_CLIENT_SECRET": "secret"}
HOST = {"DATABRICKS_HOST": "https://prod.example.com"}
PROFILE = {"DATABRICKS_CONFIG_PROFILE": "DEFAULT"}
DOTENV = "DATABRICKS_CONFIG_PROFILE=DEFAULT\nAPP_NAME=metamcp\nLAKEBASE_INSTANCE_NAME=metamcp-lakebase\n"
LOCAL_BY_DEFAULT = "targets:\n  local: {embedded: true}\ndefault_target: local\n"


@pytest.mark.parametrize(
    "environ",
    [
        {**HOST, **M2M},
        {**HOST, "DATABRICKS_AUTH_TYPE": "github-oidc", "DATABRICKS_CLIENT_ID": "id"},
        {**HOST, "CI": "true"},
        {**PROFILE, "APP_NAME": "metamcp", "METAMCP_REF": "v2.4.22"},
    ],
)
def test_a_pipelines_variables_name_the_workspace_and_never_fall_to_this_machine(
    work: Work, environ: dict[str, str]
) -> None:
    settings = work.load(environ=environ).settings
    assert (settings.target, settings.embedded) == ("default", False)
    assert settings.workspace.host == environ.get("DATABRICKS_HOST")
    work.yaml(LOCAL_BY_DEFAULT)
    error = work.refused(environ=environ)
    assert error.code is Code.CONFIG_CONFLICT
    assert "the target `local` is on this machine" in error.message
    assert "-t local" in error.hint
    assert work.load("local", environ).settings.embedded
    assert work.load(environ={**environ, "DATABRICKS_BUNDLE_TARGET": "local"}).settings.embedded


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        (f"TARGET=dev\n{DOTENV}", {}),
        ("TARGET=dev\nDATABRICKS_CONFIG_PROFILE=DEFAULT\n", {}),
        (
            "TARGET=dev\nDATABRICKS_CONFIG_PROFILE=DEFAULT\nAPP_NAME=dev-metamcp\nLAKEBASE_INSTANCE_NAME=lake\n",
            {},
        ),
        ("", {**HOST, **M2M, "TARGET": "dev", "APP_NAME": "metamcp"}),
    ],
)
def test_target_dev_is_never_given_the_names_of_production(
    work: Work, text: str, environ: dict[str, str]
) -> None:
    error = work.env(text).refused(environ=environ)
    assert error.code is Code.CONFIG_CONFLICT
    assert "TARGET is dev" in error.message
    assert "dev-metamcp" in error.hint
    assert "init --from-predecessor" in error.hint


def test_names_of_dev_that_are_written_out_are_obeyed(work: Work) -> None:
    work.env(
        "TARGET=dev\nAPP_NAME=metamcp-dev\nLAKEBASE_INSTANCE_NAME=dev-lake\nDATABRICKS_CONFIG_PROFILE=x\n"
    )
    settings = work.load().settings
    assert (settings.target, settings.app.name, settings.database.project) == (
        "dev",
        "metamcp-dev",
        "dev-lake",
    )
    work.env("TARGET=dev\n").yaml("targets: {dev: {app: {name: gateway}}, prod: {}}")
    assert work.load().settings.app.name == "gateway"
