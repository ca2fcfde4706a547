"""Which target is meant, and every mistake that would touch another one than the one named."""

import pytest

from metamcp_deploy import config
from metamcp_deploy.errors import Code, DeployError
from tests.config.working import TARGETS, Work

PROTECTED = """\
upstream: {ref: v2.4.22, commit: 0123456789abcdef0123456789abcdef01234567}
targets:
  prod:
    protected: true
    app: {name: metamcp-prod}
    workspace: {host: https://prod.example.com, root_path: /Workspace/Shared/metamcp}
"""


def named(work: Work, target: str | None = None, environ: dict[str, str] | None = None) -> str:
    return work.load(target, environ).settings.target


def test_flag_then_environment_then_dotenv_then_default_target(two_targets: Work) -> None:
    assert named(two_targets) == "dev"
    two_targets.yaml(TARGETS.replace("default_target: dev", ""))
    two_targets.env("TARGET=dev\n")
    assert named(two_targets) == "dev"
    assert named(two_targets, environ={"DATABRICKS_BUNDLE_TARGET": "prod"}) == "prod"
    assert named(two_targets, "dev", {"DATABRICKS_BUNDLE_TARGET": "prod"}) == "dev"


def test_a_flag_wins_over_a_stray_bundle_target_even_an_unknown_one(two_targets: Work) -> None:
    assert named(two_targets, "dev", {"DATABRICKS_BUNDLE_TARGET": "of-another-project"}) == "dev"


def test_a_stray_bundle_target_is_named_in_the_error(two_targets: Work) -> None:
    with pytest.raises(
        DeployError, match=r"`prd` \(environment DATABRICKS_BUNDLE_TARGET\).*`prod`"
    ) as caught:
        named(two_targets, environ={"DATABRICKS_BUNDLE_TARGET": "prd"})
    assert caught.value.code is Code.TARGET_UNKNOWN
    assert "dev, prod, local" in caught.value.hint


def test_target_of_the_environment_is_too_common_a_word(two_targets: Work) -> None:
    assert named(two_targets, environ={"TARGET": "prod"}) == "dev"


def test_two_targets_in_dotenv_that_differ_are_a_conflict(two_targets: Work) -> None:
    two_targets.env("TARGET=dev\nDATABRICKS_BUNDLE_TARGET=prod\n")
    assert two_targets.refused().code is Code.CONFIG_CONFLICT
    two_targets.env("TARGET=prod\nDATABRICKS_BUNDLE_TARGET=prod\n")
    assert named(two_targets) == "prod"


def test_a_target_without_a_file(work: Work) -> None:
    with pytest.raises(
        DeployError, match=rf"`dev`: {work.folder}/metamcp.yaml does not exist\. .*local"
    ) as caught:
        named(work, "dev")
    assert caught.value.code is Code.TARGET_UNKNOWN
    assert "metamcp-deploy init" in caught.value.hint


def test_a_file_above_that_is_not_read_is_named(work: Work) -> None:
    work.yaml(TARGETS)
    below = work.folder / "below"
    below.mkdir()
    with pytest.raises(DeployError, match=rf"-C {work.folder} names its folder") as caught:
        config.load(below, target="dev", environ={})
    assert caught.value.code is Code.TARGET_UNKNOWN
    with pytest.raises(DeployError, match=rf"there is no such file \({work.folder}/metamcp.yaml is not read"):
        config.check(below, environ={})


def test_several_targets_and_nobody_says_which(two_targets: Work) -> None:
    two_targets.yaml(TARGETS.replace("default_target: dev", ""))
    with pytest.raises(DeployError, match="several targets") as caught:
        named(two_targets)
    assert caught.value.code is Code.TARGET_UNKNOWN
    assert named(two_targets, "local") == "local"


def test_the_only_target_is_meant(work: Work) -> None:
    work.yaml("targets: {dev: {workspace: {profile: dev}}}")
    assert named(work) == "dev"


@pytest.mark.parametrize("text", [None, "", "app: {name: gateway}\n", "targets:\n"])
def test_without_targets_there_are_local_and_default(work: Work, text: str | None) -> None:
    if text is not None:
        work.yaml(text)
    assert config.target_names(work.folder) == ["local", "default"]
    assert work.load("local").settings.embedded
    assert not work.load("default").settings.embedded
    with pytest.raises(DeployError, match="no target `dev`"):
        work.load("dev")


def test_a_workspace_that_nobody_named_is_never_chosen(work: Work) -> None:
    """A profile exported for another tool names none; `-p`, `.env` or the file does."""
    stray = {"DATABRICKS_CONFIG_PROFILE": "prod", "DATABRICKS_HOST": "https://prod.example.com"}
    settings = work.load(environ=stray).settings
    assert (settings.target, settings.workspace.host, settings.workspace.profile) == ("local", None, None)
    assert work.load(profile="dev").settings.target == "default"
    work.yaml("workspace: {host: https://dev.example.com}")
    assert work.load().settings.target == "default"
    work.yaml("").env("DATABRICKS_CONFIG_PROFILE=dev\n")
    assert work.load().settings.target == "default"


def test_dotenv_of_a_parent_folder_is_not_inherited(work: Work) -> None:
    (work.folder.parent / ".env").write_text("APP_NAME=other\nTARGET=prod\n")
    assert work.load().settings.app.name == "metamcp"


@pytest.mark.parametrize(
    ("variable", "value", "key", "stated"),
    [
        ("APP_NAME", "metamcp-dev", "app.name", "metamcp-prod"),
        ("LAKEBASE_INSTANCE_NAME", "metamcp-dev", "database.project", "metamcp-prod"),
        ("LAKEBASE_DATABASE_NAME", "metamcp_dev", "database.name", "metamcp_prod"),
        ("DATABRICKS_HOST", "https://dev.example.com", "workspace.host", "https://prod.example.com"),
        ("METAMCP_SECRETS_SCOPE", "dev-secrets", "secrets.scope", "prod-secrets"),
        (
            "METAMCP_WORKSPACE_ROOT_PATH",
            "/Workspace/Shared/dev",
            "workspace.root_path",
            "/Workspace/Shared/metamcp",
        ),
    ],
)
def test_no_variable_overrides_what_identifies_a_target(
    two_targets: Work, variable: str, value: str, key: str, stated: str
) -> None:
    error = two_targets.refused("prod", {variable: value})
    assert error.code is Code.CONFIG_CONFLICT
    assert f"environment {variable} (`{key}`): says `{value}`" in error.message
    assert f"targets.prod.{key} says `{stated}`" in error.message
    assert "metamcp.yaml:" in error.message
    assert variable in error.hint
    two_targets.env(f"{variable}={value}\n")
    error = two_targets.refused("prod")
    assert error.code is Code.CONFIG_CONFLICT
    assert f".env:1: `{variable}`: says `{value}`" in error.message
    two_targets.env(f"{variable}={stated}\n")
    assert two_targets.load("prod", {variable: stated}).settings.target == "prod"


def test_a_stray_profile_is_a_conflict_where_the_target_names_one(two_targets: Work) -> None:
    error = two_targets.refused("dev", {"DATABRICKS_CONFIG_PROFILE": "prod"})
    assert error.code is Code.CONFIG_CONFLICT
    assert "`prod`" in error.message
    assert "targets.dev.workspace.profile says `dev`" in error.message
    assert (
        two_targets.load(
            "dev", {"DATABRICKS_CONFIG_PROFILE": "prod"}, profile="me"
        ).settings.workspace.profile
        == "me"
    )


def test_a_stray_profile_does_not_change_the_host_a_target_names(two_targets: Work) -> None:
    workspace = two_targets.load("prod", {"DATABRICKS_CONFIG_PROFILE": "dev"}).settings.workspace
    assert (workspace.host, workspace.profile) == ("https://prod.example.com", "dev")


def test_a_stray_host_does_not_take_a_profiles_credentials_elsewhere(work: Work) -> None:
    work.yaml("targets: {dev: {workspace: {profile: dev}}}")
    stray = {"DATABRICKS_HOST": "https://prod.example.com"}
    assert work.load("dev", stray).settings.workspace.host is None
    work.yaml("targets: {dev: }")
    assert work.load("dev", stray, profile="dev").settings.workspace.host is None
    assert work.load("dev", stray).settings.workspace.host == "https://prod.example.com"


def test_hosts_are_compared_in_one_form(two_targets: Work) -> None:
    same = {"DATABRICKS_HOST": "https://PROD.example.com/?o=123"}
    assert two_targets.load("prod", same).settings.workspace.host == "https://prod.example.com"


def test_several_conflicts_are_told_at_once(two_targets: Work) -> None:
    error = two_targets.refused("prod", {"APP_NAME": "x1", "LAKEBASE_INSTANCE_NAME": "x2"})
    assert len(error.problems) == 2


def test_variables_may_say_what_the_target_leaves_open(work: Work) -> None:
    work.yaml("app: {name: top}\ntargets: {dev: {workspace: {host: https://dev.example.com}}}")
    assert work.load("dev", {"APP_NAME": "mine"}).settings.app.name == "mine"


def test_a_flag_may_say_something_else(two_targets: Work) -> None:
    assert two_targets.load("dev", sets=["app.name=trial"]).settings.app.name == "trial"


def test_embedded_targets_know_no_workspace(work: Work) -> None:
    work.yaml(
        "workspace: {host: https://dev.example.com, profile: dev}\ntargets: {dev: , here: {embedded: true}}"
    )
    for name in ("local", "here"):
        workspace = work.load(
            name, {"DATABRICKS_CONFIG_PROFILE": "x", "DATABRICKS_HOST": "y"}
        ).settings.workspace
        assert (workspace.host, workspace.profile) == (None, None)
        assert work.refused(name, profile="prod").code is Code.CONFIG_CONFLICT
    assert work.problems("targets:\n  here:\n    embedded: true\n    workspace: {profile: dev}\n") == [
        "metamcp.yaml:4: `targets.here.workspace.profile`: an embedded target has no other workspace than the one on "
        "this machine."
    ]


def test_a_target_called_local_is_embedded_unless_it_denies_it(work: Work) -> None:
    work.yaml("targets: {local: {app: {name: mine}}}")
    assert work.load().settings.embedded
    assert (
        "say `embedded: false`"
        in work.problems("targets: {local: {workspace: {host: https://a.example.com}}}")[0]
    )
    work.yaml("targets: {local: {embedded: false, workspace: {host: https://a.example.com}}}")
    assert not work.load("local").settings.embedded


def test_the_app_alone_needs_no_file_and_reads_none(two_targets: Work) -> None:
    two_targets.env("APP_NAME=broken\nTARGET=nonsense\n")
    settings = two_targets.load(app="metamcp-prod", profile="oncall").settings
    assert (settings.app.name, settings.workspace.profile, settings.workspace.host) == (
        "metamcp-prod",
        "oncall",
        None,
    )
    assert (settings.target, settings.embedded) == ("default", False)


def test_all_targets_are_those_of_the_file_and_the_one_meant_as_it_is(two_targets: Work) -> None:
    project = two_targets.load("dev", {"METAMCP_NETWORK_PROXY": "http://proxy.example.com"})
    assert [s.target for s in project.all_targets] == ["dev", "prod"]
    assert project.all_targets[0] is project.settings
    assert project.all_targets[1].network.proxy is None
    assert [s.target for s in two_targets.load("local").all_targets] == ["dev", "prod", "local"]


@pytest.mark.parametrize(
    ("dev", "said"),
    [
        ("app: {name: same}, database: {project: p-1}", "is the same app `same`"),
        ("app: {name: a-1}, database: {project: same}", "is the same database `same/production/metamcp_app`"),
        ("app: {name: a-1}, secrets: {scope: same}", "is the same secret scope `same`"),
        (
            "app: {name: a-1}, database: {project: p-1}, workspace: {root_path: /Workspace/Shared/same}",
            "is the same folder `/Workspace/Shared/same`",
        ),
    ],
)
def test_targets_of_one_workspace_may_not_overwrite_each_other(work: Work, dev: str, said: str) -> None:
    top = "app: {name: same}\nworkspace: {host: https://one.example.com, root_path: /Workspace/Shared/same}\n"
    dev_section = dev if "workspace" in dev else f"{dev}, workspace: {{root_path: /Workspace/Shared/dev}}"
    found = work.problems(f"{top}targets:\n  prod: \n  dev: {{{dev_section}}}\n")
    assert len(found) == 1
    assert f"metamcp.yaml:5: `targets.dev`: {said} in https://one.example.com as target `prod`" in found[0]


def test_targets_of_different_workspaces_may_be_alike(work: Work) -> None:
    work.yaml(
        "targets: {a: {workspace: {host: https://a.example.com}}, b: {workspace: {host: https://b.example.com}}}"
    )
    assert work.load("b").settings.app.name == "metamcp"


def test_a_protected_target_takes_everything_from_the_file(work: Work) -> None:
    work.yaml(PROTECTED)
    assert work.load("prod").settings.protected
    who = {
        "DATABRICKS_CONFIG_PROFILE": "pipeline",
        "METAMCP_NETWORK_PROXY": "http://p.example.com",
        "METAMCP_REF": "v2.4.22",
    }
    assert work.load("prod", who).settings.workspace.profile == "pipeline"
    for given in (
        {"environ": {"METAMCP_REF": "main"}},
        {"environ": {"LAKEBASE_INSTANCE_NAME": "other"}},
        {"sets": ["upstream.ref=v2.4.22"]},
        {"flags": {"upstream.ref": "main"}},
    ):
        error = work.refused("prod", **given)  # type: ignore[arg-type]
        assert error.code is Code.TARGET_PROTECTED, given
        assert "protected" in error.message
    assert work.load("prod", app="metamcp-prod").settings.app.name == "metamcp-prod"


def test_a_protected_target_holds_on_to_the_top_of_the_file(work: Work) -> None:
    work.yaml(
        "app: {name: top}\ntargets: {prod: {protected: true, workspace: {root_path: /Workspace/Shared/m}}}"
    )
    error = work.refused("prod", {"APP_NAME": "other"})
    assert error.code is Code.CONFIG_CONFLICT
    assert "says `other`, but metamcp.yaml:1 app.name says `top`" in error.message


def test_a_protected_target_needs_a_root_path(work: Work) -> None:
    assert work.problems("targets:\n  prod:\n    protected: true\n") == [
        "metamcp.yaml:3: `targets.prod.protected`: a protected target needs `workspace.root_path`, so that everybody "
        "shares one lock and one history."
    ]


def test_the_guard_of_a_protected_target(work: Work) -> None:
    locked = work.yaml(PROTECTED).load("prod")
    config.guard(locked)
    config.guard(locked, "tag")
    with pytest.raises(DeployError, match="is a branch") as caught:
        config.guard(locked, "branch")
    assert caught.value.code is Code.TARGET_PROTECTED
    loose = work.yaml(PROTECTED.replace(", commit: 0123456789abcdef0123456789abcdef01234567", "")).load(
        "prod"
    )
    config.guard(loose, "tag")
    with pytest.raises(DeployError, match=r"upstream\.commit is not set"):
        config.guard(loose)
    config.guard(work.load("local"), "branch")
    assert locked.committed == (work.folder / "metamcp.yaml",)
