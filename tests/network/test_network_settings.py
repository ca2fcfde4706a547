"""What is taken from where, and what is refused, without any network."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import trustme

from metamcp_deploy.config import model
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.network import Network, npm
from metamcp_deploy.network.proxies import Proxies

PROXY = "http://proxy.example.com:3128"


def network(environ: dict[str, str] | None = None, **settings: Any) -> Network:
    return Network.of(model.Network(**settings), {"HOME": "/nonexistent", **(environ or {})})


def refused(environ: dict[str, str] | None = None, **settings: Any) -> DeployError:
    with pytest.raises(DeployError) as caught:
        network(environ, **settings)
    assert caught.value.code is Code.CONFIG_INVALID
    return caught.value


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pem(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


# proxies


def test_nothing_told_changes_nothing() -> None:
    plain = network()
    assert plain.git_environment() == {}
    assert plain.node_environment() == {}
    assert plain.websocket_options("wss://dev.example.com/")["proxy"] is None


@pytest.mark.parametrize(
    ("environ", "http", "https"),
    [
        ({"HTTPS_PROXY": PROXY}, None, PROXY),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, None, PROXY),
        ({"ALL_PROXY": PROXY}, PROXY, PROXY),
        ({"HTTP_PROXY": PROXY, "all_proxy": "http://all"}, PROXY, "http://all"),
        ({"HTTPS_PROXY": "proxy.example.com:3128"}, None, PROXY),
        ({"HTTPS_PROXY": ""}, None, None),
    ],
)
def test_the_usual_variables(environ: dict[str, str], http: str | None, https: str | None) -> None:
    found = Proxies.of(None, None, environ)
    assert (found.http and found.http.reveal(), found.https and found.https.reveal()) == (http, https)


def test_settings_win() -> None:
    found = Proxies.of(PROXY, "a.example.com", {"HTTPS_PROXY": "http://other", "NO_PROXY": "b.example.com"})
    assert found.https
    assert found.https.reveal() == PROXY
    assert found.of_url("https://a.example.com/") is None
    assert found.of_url("https://b.example.com/") is not None


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("", "https://dev.example.com/", False),
        ("", "http://localhost:80/", True),
        ("", "http://app.localhost:80/", True),
        ("", "http://127.8.9.1/", True),
        ("", "http://[::1]:8080/", True),
        ("", "https://localhost.example.com/", False),
        ("*", "https://dev.example.com/", True),
        ("example.com", "https://dev.example.com/", True),
        ("example.com", "https://notexample.com/", False),
        (".example.com", "https://dev.example.com/", True),
        ("*.example.com", "https://dev.example.com/", True),
        ("a.example.com, dev.example.com", "https://DEV.example.com./", True),
        ("a.example.com dev.example.com", "https://dev.example.com/", True),
        ("dev.example.com:8443", "https://dev.example.com:8443/", True),
        ("dev.example.com:8443", "https://dev.example.com/", False),
        ("10.0.0.0/8", "https://10.1.2.3/", True),
        ("10.0.0.0/8", "https://11.1.2.3/", False),
        ("10.1.2.3", "https://10.1.2.3/", True),
        ("[fd00::1]", "https://[fd00::1]/", True),
        ("10.0.0.0/8", "https://dev.example.com/", False),
    ],
)
def test_who_is_reached_directly(no_proxy: str, url: str, direct: bool) -> None:
    assert (Proxies.of(PROXY, no_proxy, {}).of_url(url) is None) is direct


@pytest.mark.parametrize(
    "bad",
    [
        "socks5://proxy.example.com",
        "http://",
        "http://a:b@",
        "http://h:99999",
        "http://u:s3cret@h:x",
        "http://h/path",
        "u@h:1",
    ],
)
@pytest.mark.parametrize("told", ["settings", "environment"])
def test_a_malformed_proxy_names_its_origin_and_not_the_url(bad: str, told: str) -> None:
    error = refused(proxy=bad) if told == "settings" else refused({"https_proxy": bad})
    assert ("network.proxy" if told == "settings" else "https_proxy") in error.message
    assert "s3cret" not in error.message + error.hint


def test_children_get_both_cases_and_loopback_is_direct() -> None:
    values = network(proxy=PROXY, no_proxy="a.example.com").git_environment()
    assert values["https_proxy"] == values["HTTPS_PROXY"] == values["http_proxy"] == PROXY
    assert values["no_proxy"] == values["NO_PROXY"] == "a.example.com,localhost,127.0.0.1,::1"


def test_a_proxy_is_not_printed() -> None:
    shown = network(proxy="http://u:s3cret@proxy.example.com")
    assert "s3cret" not in f"{shown!r} {shown} {shown.proxies}"


# certificates


def test_tools_that_replace_get_all_and_those_that_add_get_the_named(pem: Path) -> None:
    found = network(ca_bundle=pem)
    own = pem.read_text().strip()
    combined = Path(found.git_environment()["GIT_SSL_CAINFO"]).read_text()
    extra = Path(found.node_environment()["NODE_EXTRA_CA_CERTS"]).read_text()
    assert own in combined
    assert combined.count("BEGIN CERTIFICATE") > 100
    assert extra.strip() == own
    assert found.requests_session().verify == found.git_environment()["GIT_SSL_CAINFO"]


def test_the_combined_file_is_made_once(pem: Path) -> None:
    first = network(ca_bundle=pem).trust.combined()
    before = first.stat()
    assert network({"CURL_CA_BUNDLE": str(pem)}).trust.combined() == first
    assert first.stat().st_mtime_ns == before.st_mtime_ns
    assert not stat.S_IMODE(before.st_mode) & 0o022


@pytest.mark.parametrize(
    "name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"]
)
def test_each_usual_variable_reaches_every_tool(name: str, pem: Path) -> None:
    found = network({name: str(pem)})
    assert pem.read_text().strip() in Path(found.git_environment()["GIT_SSL_CAINFO"]).read_text()
    assert pem.read_text().strip() in Path(found.node_environment()["NODE_EXTRA_CA_CERTS"]).read_text()


def test_a_bundle_of_the_settings_replaces_those_of_the_environment(pem: Path, tmp_path: Path) -> None:
    assert network({"CURL_CA_BUNDLE": str(tmp_path / "missing")}, ca_bundle=pem).trust.named


def test_a_folder_of_certificates(pem: Path) -> None:
    (pem.parent / "README").write_text("no certificate")
    assert network({"REQUESTS_CA_BUNDLE": str(pem.parent)}).trust.named


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        (b"", "no certificate"),
        (b"\x30\x82\x00\x01\xff", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
    ],
)
@pytest.mark.parametrize("told", ["settings", "environment"])
def test_an_unusable_bundle_names_its_origin(
    content: bytes | None, problem: str, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.pem"
    if content is not None:
        path.write_bytes(content)
    settings = told == "settings"
    error = refused(ca_bundle=path) if settings else refused({"REQUESTS_CA_BUNDLE": str(path)})
    assert ("network.ca_bundle" if settings else "REQUESTS_CA_BUNDLE") in error.message
    assert str(path) in error.message
    assert problem in error.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_bundle(pem: Path) -> None:
    pem.chmod(0)
    assert "Permission denied" in refused(ca_bundle=pem).message


# npm


def test_settings_win_over_variables_in_any_case(pem: Path) -> None:
    environ = {"NPM_CONFIG_REGISTRY": "https://other.example.com/", "npm_config_proxy": "http://other"}
    found = network(environ, npm_registry="https://r.example.com/npm/", proxy=PROXY, ca_bundle=pem)
    values = found.node_environment()
    npm_values = {k: v for k, v in values.items() if k.lower().startswith("npm_config")}
    assert npm_values == {
        "npm_config_registry": "https://r.example.com/npm/",
        "npm_config_proxy": PROXY,
        "npm_config_https_proxy": PROXY,
        "npm_config_noproxy": "localhost,127.0.0.1,::1",
        "npm_config_cafile": str(found.trust.combined()),
    }
    assert values["COREPACK_NPM_REGISTRY"] == "https://r.example.com/npm"


def test_what_only_the_environment_says_leaves_the_npmrc_its_say(pem: Path) -> None:
    values = network({"HTTPS_PROXY": PROXY, "SSL_CERT_FILE": str(pem)}).node_environment()
    assert not [k for k in values if k.lower().startswith("npm_config")]


@pytest.mark.parametrize(
    "bad", ["r.example.com", "ftp://r.example.com", "https://", "https://u:s3cret@r.example.com"]
)
def test_an_unusable_registry(bad: str) -> None:
    for error in (refused(npm_registry=bad), refused({"NPM_CONFIG_REGISTRY": bad})):
        assert "s3cret" not in error.message + error.hint


def test_only_what_npmrc_files_refer_to_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / ".npmrc").write_text(
        "//r/:_authToken=${A_TOKEN}\nx=${WITH_DEFAULT:-none}\ny=${MAYBE?}\nz=$PLAIN\n"
    )
    (tmp_path / ".config" / "pnpm").mkdir(parents=True)
    (tmp_path / ".config" / "pnpm" / "rc").write_text("//r/:_password=${PNPM_PASSWORD}\n")
    project = tmp_path / "project.npmrc"
    project.write_text("a=${FROM_PROJECT}\nb=${DATABRICKS_TOKEN}\nc=${BETTER_AUTH_SECRET}\nd=${UNSET}\n")
    own = ["A_TOKEN", "WITH_DEFAULT", "MAYBE", "PNPM_PASSWORD", "FROM_PROJECT"]
    others = ["PLAIN", "DATABRICKS_TOKEN", "BETTER_AUTH_SECRET", "SOMETHING"]
    environ = {"HOME": str(tmp_path), **{n: f"value of {n}" for n in own + others}}
    assert sorted(npm.passed_on(environ, [project, tmp_path / "missing"])) == sorted(own)


def test_npm_settings_about_reaching_a_registry_are_passed_on_and_others_not(tmp_path: Path) -> None:
    reaching = {
        "NPM_CONFIG_USERCONFIG": str(tmp_path / "rc"),
        "npm_config_//r.example.com/:_authToken": "t",
        "npm_config_@scope:registry": "https://r.example.com",
        "npm_config_strict_ssl": "true",
    }
    (tmp_path / "rc").write_text("//r/:_authToken=${FROM_USERCONFIG}\n")
    others = {"npm_config_prefix": "/", "npm_config_user_agent": "npm", "npm_lifecycle_event": "x"}
    environ = {"HOME": "/nonexistent", "FROM_USERCONFIG": "t", **reaching, **others}
    assert npm.passed_on(environ) == {**reaching, "FROM_USERCONFIG": "t"}
