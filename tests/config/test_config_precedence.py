"""Flag, then environment, then `.env`, then the target, then the top of the file, then the default."""

import os
import secrets
from pathlib import Path

import pytest

from metamcp_deploy import config, events
from metamcp_deploy.config.model import DEFAULT_REF, DEFAULT_URL
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from tests.config.working import Work

FILE = "network: {proxy: http://top.example.com}\ntargets: {dev: {network: {proxy: http://target.example.com}}}\n"


def test_each_source_beats_the_next(work: Work) -> None:
    def proxy(environ: dict[str, str] | None = None, *sets: str) -> str | None:
        return work.load("dev", environ, sets=sets).settings.network.proxy

    name = "METAMCP_NETWORK_PROXY"
    work.yaml("targets: {dev: }")
    assert proxy() is None
    work.yaml("network: {proxy: http://top.example.com}\ntargets: {dev: }")
    assert proxy() == "http://top.example.com"
    work.yaml(FILE)
    assert proxy() == "http://target.example.com"
    work.env(f"{name}=http://dotenv.example.com\n")
    assert proxy() == "http://dotenv.example.com"
    environ = {name: "http://environment.example.com"}
    assert proxy(environ) == "http://environment.example.com"
    assert proxy(environ, "network.proxy=http://flag.example.com") == "http://flag.example.com"


def test_without_any_file_everything_has_a_default(work: Work) -> None:
    project = work.load()
    settings = project.settings
    assert (settings.upstream.url, settings.upstream.ref) == (DEFAULT_URL, DEFAULT_REF)
    assert (settings.target, settings.embedded) == ("local", True)
    assert project.folder == work.folder
    assert project.all_targets == (settings,)
    assert project.use_cache


def test_the_predecessors_names_go_on_working(work: Work) -> None:
    work.env(
        "TARGET=staging\nDATABRICKS_CONFIG_PROFILE=work\nAPP_NAME=gateway\nLAKEBASE_INSTANCE_NAME=lake\n"
        "LAKEBASE_DATABASE_NAME=gateway_db\nexport METAMCP_REPO_URL='https://git.example.com/metamcp.git'\n"
        'METAMCP_REF="v2.4.20" # pinned\nBETTER_AUTH_SECRET=marked-secret-value-0123456789-abcd\n'
    )
    project = work.load()
    s = project.settings
    assert (s.target, s.embedded, s.workspace.profile, s.app.name) == ("staging", False, "work", "gateway")
    assert (s.database.project, s.database.name) == ("lake", "gateway_db")
    assert (s.upstream.url, s.upstream.ref) == ("https://git.example.com/metamcp.git", "v2.4.20")
    assert project.secrets == {"BETTER_AUTH_SECRET": Secret("marked-secret-value-0123456789-abcd")}
    assert "marked-secret-value" not in f"{project!r}{s!r}{config.explain(work.folder, environ={})}"


def test_a_secret_of_the_environment_beats_that_of_dotenv(work: Work) -> None:
    one, two = (secrets.token_urlsafe(32) for _ in range(2))
    work.env(f"BETTER_AUTH_SECRET={one}\n")
    assert work.load(environ={"BETTER_AUTH_SECRET": two}).secrets["BETTER_AUTH_SECRET"].reveal() == two


@pytest.mark.parametrize(
    "value",
    [
        "${BETTER_AUTH_SECRET}",
        "two\nlines",
        "change-me-before-production",  # of the predecessor's .env.template
        "your-super-secret-key-change-this-in-production",  # of upstream's example.env
        "CHANGE_ME_CHANGE_ME_0123456789_abcdef",
        "<generate: openssl rand -base64 32>",
        "correct horse battery staple",
        "abababababababababababababababababababab",
    ],
)
def test_a_secret_that_is_none_is_refused_by_name_and_not_shown(work: Work, value: str) -> None:
    error = work.refused(environ={"BETTER_AUTH_SECRET": value})
    assert error.code is Code.CONFIG_INVALID
    assert "BETTER_AUTH_SECRET" in error.message
    assert value not in str(error)


def test_every_key_has_a_variable_of_its_own_name(work: Work) -> None:
    s = work.load(
        "default",
        {
            "METAMCP_DATABASE_SCHEMA": "tools",
            "METAMCP_APP_COMPUTE_SIZE": "LARGE",
            "METAMCP_WORKSPACE_PROFILE": "p",
        },
    ).settings
    assert (s.database.schema_, s.app.compute_size, s.workspace.profile) == ("tools", "LARGE", "p")


def test_no_variable_can_turn_a_target_into_another_kind(work: Work) -> None:
    s = work.load(
        "default", {"METAMCP_EMBEDDED": "true", "METAMCP_PROTECTED": "true", "METAMCP_TARGET": "x"}
    ).settings
    assert (s.target, s.embedded, s.protected) == ("default", False, False)


def test_two_names_of_one_key_that_differ_are_a_conflict(work: Work) -> None:
    error = work.refused(environ={"METAMCP_REF": "v2.4.1", "METAMCP_UPSTREAM_REF": "v2.4.2"})
    assert error.code is Code.CONFIG_CONFLICT
    assert "environment METAMCP_UPSTREAM_REF" in error.message
    assert "environment METAMCP_REF says `v2.4.1`" in error.message


def test_empty_variables_say_nothing(work: Work) -> None:
    work.env("METAMCP_REF=\nAPP_NAME=\nTARGET=\n")
    assert (
        work.load(environ={"METAMCP_REF": " ", "DATABRICKS_BUNDLE_TARGET": ""}).settings.upstream.ref
        == DEFAULT_REF
    )


def test_check_reports_unknown_names_that_look_like_ours(work: Work) -> None:
    work.env("APP_NMAE=gateway\nLAKEBASE_CAPACITY=CU_2\nOIDC_CLIENT_ID=x\nAPP_NAME=metamcp\n")
    told: list[events.Event] = []
    environ = {
        "METAMCP_FOO": "1",
        "METAMCP_CACHE_DIR": "x",
        "APP_NAMES": "of another tool",
        "METAMCP_REFF": "y",
    }
    with events.listening(told.append):
        assert config.check(work.folder, environ=environ) == []
    nobody = "no setting has this name, so nothing obeys it."
    assert [e.text for e in told if isinstance(e, events.Warned)] == [
        f".env:1 APP_NMAE: {nobody} Did you mean APP_NAME?",
        f".env:2 LAKEBASE_CAPACITY: {nobody}",
        f"environment METAMCP_FOO: {nobody}",
        f"environment METAMCP_REFF: {nobody} Did you mean METAMCP_REF?",
    ]


def test_a_misspelt_variable_is_told(work: Work) -> None:
    told: list[events.Event] = []
    with events.listening(told.append):
        work.load(environ={"METAMCP_UPSTREM_REF": "v2.4.1", "METAMCP_CACHE_DIR": "x"})
    assert [e.text for e in told if isinstance(e, events.Warned)] == [
        "environment METAMCP_UPSTREM_REF is not obeyed; did you mean METAMCP_UPSTREAM_REF?"
    ]


def test_loading_leaves_the_process_environment_alone(work: Work) -> None:
    work.env("APP_NAME=gateway\nSOMETHING=else\n")
    before = dict(os.environ)
    work.load()
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("APP_NAME=a1\nAPP_NAME=b2\n", ".env:2: `APP_NAME`: is given twice, first on line 1."),
        ("\n\nAPP_NAME=${USER}-app\n", ".env:3: `APP_NAME`: holds `${`"),
        ("APP_NAME=a1\nnot a line with=a-secret\n", ".env:2: this line is no NAME=value."),
        ('APP_NAME="two\nlines"\n', ".env:1: `APP_NAME`: holds a line break"),
        ("APP_NAME=Gateway\n", ".env:1: `APP_NAME`: found `Gateway`, expected an app name"),
    ],
)
def test_a_broken_dotenv_names_the_line_and_no_value_that_may_be_secret(
    work: Work, text: str, said: str
) -> None:
    error = work.env(text).refused()
    assert said in error.message
    assert "a-secret" not in f"{error.message}{error.detail}"


def test_lines_of_dotenv_that_are_nobodys_business_do_no_harm(work: Work) -> None:
    work.env("PROMPT=${PWD}\nOTHER=1\nOTHER=2\n# APP_NAME=x\n")
    assert work.load().settings.app.name == "metamcp"


def test_dotenv_may_be_a_folder_or_not_utf8(work: Work) -> None:
    (work.folder / ".env").mkdir()
    assert work.load().settings.app.name == "metamcp"
    (work.folder / ".env").rmdir()
    (work.folder / ".env").write_bytes(b"APP_NAME=caf\xe9\n")
    assert "not UTF-8 (byte 0xe9)" in work.refused().message


def test_line_breaks_of_the_environment_are_refused(work: Work) -> None:
    error = work.refused(environ={"METAMCP_REF": "v2\n--upload-pack=x"})
    assert "environment METAMCP_REF (`upstream.ref`)" in error.message


def test_set_is_typed_by_the_model(work: Work) -> None:
    s = work.load(
        "default",
        sets=[
            "app.env.DEBUG=true",
            "app.env.URL=a=b",
            "app.env.TOKEN.secret=TOKEN_KEY",
            "app.permissions=[{level: CAN_USE, group_name: users}]",
            "upstream.ref=old",
            "upstream.ref=2.0",
            "workspace.profile=",
        ],
    ).settings
    assert s.app.env["DEBUG"] == "true"
    assert s.app.env["URL"] == "a=b"
    assert getattr(s.app.env["TOKEN"], "secret", None) == "TOKEN_KEY"
    assert s.app.permissions[0].group_name == "users"
    assert (s.upstream.ref, s.workspace.profile) == ("2.0", None)


def test_all_wrong_sets_are_told_at_once(work: Work) -> None:
    error = work.refused(
        sets=[
            "upstrem.ref=x",
            "app=x",
            "embedded=true",
            "targets.dev.app.name=x",
            "nothing",
            "app.env=x",
            "app.env.=x",
        ]
    )
    text = str(error.detail)
    assert "flag --set (`upstrem.ref`): there is no such key. Did you mean `upstream.ref`?" in text
    assert "is a section; set one of app.name" in text
    assert "is decided by metamcp.yaml alone" in text
    assert "name the target with -t" in text
    assert "found `nothing`, expected dotted.key=value" in text
    assert len(error.problems) == 7


def test_a_wrong_value_of_a_flag_names_the_flag(work: Work) -> None:
    assert (
        "flag --set (`app.name`): found `X`, expected an app name"
        in work.refused(sets=["app.name=X"]).message
    )
    assert "flag --url (`upstream.url`)" in work.refused(flags={"upstream.url": ""}).message


def test_an_option_and_a_set_that_differ_are_a_conflict(work: Work) -> None:
    error = work.refused(flags={"upstream.ref": "a"}, sets=["upstream.ref=b"])
    assert error.code is Code.CONFIG_CONFLICT


def test_paths_are_relative_to_who_says_them(
    work: Work, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (work.folder / "mine").mkdir()
    (work.folder / "patches").mkdir()
    work.yaml("upstream: {url: ../clone}\nnetwork: {ca_bundle: ca.pem}\noverrides: mine/\n")
    monkeypatch.chdir(tmp_path)
    s = work.load().settings
    assert s.upstream.url == str(work.folder.parent / "clone")
    assert s.network.ca_bundle == work.folder / "ca.pem"
    assert (s.overrides, s.patches, s.templates) == (work.folder / "mine", work.folder / "patches", None)
    assert work.load(flags={"upstream.url": "./here"}).settings.upstream.url == str(
        tmp_path.resolve() / "here"
    )


def test_a_folder_that_is_missing_is_an_error(folder: Path) -> None:
    with pytest.raises(DeployError) as caught:
        config.load(folder / "nowhere", environ={})
    assert caught.value.code is Code.FILE_ACCESS
