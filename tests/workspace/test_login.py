"""Who one is, where, and what is said when that does not work."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from metamcp_deploy.config.model import Settings
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.network import Network
from metamcp_deploy.workspace import Workspace
from tests.workspace.fake_host import Answer, Connect, FakeClock, FakeHost


def with_host(host: str | None = None, profile: str | None = None) -> Settings:
    return Settings.model_validate({"target": "dev", "workspace": {"host": host, "profile": profile}})


@pytest.fixture
def databrickscfg(isolated: Path, host: FakeHost) -> Path:
    path = isolated / ".databrickscfg"
    path.write_text(
        f"[pat]\nhost = {host.url}\ntoken = dapi-very-secret\n"
        f"[m2m]\nhost = {host.url}/?o=123\nclient_id = id-1\nclient_secret = very-secret\n"
        "[other]\nhost = https://other.example.com\ntoken = dapi-other\n"
    )
    return path


def failure(settings: Settings, network: Network, time: FakeClock) -> DeployError:
    with pytest.raises(DeployError) as caught:
        Workspace.connect(settings, network, clock=time.clock)
    return caught.value


@pytest.mark.usefixtures("databrickscfg")
def test_a_profile(network: Network, time: FakeClock, host: FakeHost) -> None:
    workspace = Workspace.connect(with_host(host.url, "m2m"), network, clock=time.clock)
    assert (workspace.host, workspace.me, workspace.token()) == (host.url, "dev@example.com", "token-1")


@pytest.mark.usefixtures("databrickscfg")
def test_a_personal_access_token_opens_no_app(network: Network, time: FakeClock, host: FakeHost) -> None:
    workspace = Workspace.connect(with_host(profile="pat"), network, clock=time.clock)
    assert workspace.me == "dev@example.com"
    with pytest.raises(DeployError) as caught:
        workspace.app_headers()
    assert caught.value.code is Code.AUTH_FAILED
    assert "Profile pat" in caught.value.message
    assert "databricks auth login" in caught.value.hint


@pytest.mark.usefixtures("databrickscfg")
def test_a_login_for_another_host_touches_nothing(network: Network, time: FakeClock, host: FakeHost) -> None:
    error = failure(with_host("https://prod.example.com", "pat"), network, time)
    assert error.code is Code.HOST_MISMATCH
    assert host.url in error.message
    assert "https://prod.example.com" in error.message
    assert not [r for r in host.requests if r.method != "GET" or r.path.startswith("/api")]


@pytest.mark.usefixtures("databrickscfg")
def test_an_environment_for_another_host(
    network: Network, time: FakeClock, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", host.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-very-secret")
    assert failure(with_host("https://prod.example.com"), network, time).code is Code.HOST_MISMATCH


@pytest.mark.usefixtures("databrickscfg")
def test_several_profiles_for_the_host(network: Network, time: FakeClock, host: FakeHost) -> None:
    error = failure(with_host(host.url), network, time)
    assert error.code is Code.AUTH_FAILED
    assert "pat, m2m" in error.message
    assert error.hint == "Name one: -p pat"


def test_the_one_profile_for_the_host_is_found(
    network: Network, time: FakeClock, host: FakeHost, isolated: Path
) -> None:
    (isolated / ".databrickscfg").write_text(f"[only]\nhost = {host.url}/\ntoken = dapi-1\n")
    assert Workspace.connect(with_host(host.url), network, clock=time.clock).me == "dev@example.com"


@pytest.mark.usefixtures("databrickscfg")
def test_an_unknown_profile(network: Network, time: FakeClock) -> None:
    error = failure(with_host(profile="nobody"), network, time)
    assert error.code is Code.AUTH_FAILED
    assert "nobody" in error.message


def test_no_login_at_all(network: Network, time: FakeClock, host: FakeHost) -> None:
    error = failure(with_host(host.url), network, time)
    assert error.code is Code.AUTH_FAILED
    assert f"databricks auth login --host {host.url}" in error.hint


def test_no_host_at_all(network: Network, time: FakeClock) -> None:
    error = failure(with_host(), network, time)
    assert error.code is Code.AUTH_FAILED
    assert "workspace.host" in error.hint


def test_given_credentials_do_not_mix_with_the_environment(
    connect: Connect, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "https://prod.example.com")
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-prod")
    monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", "prod")
    workspace = connect()
    assert (workspace.host, workspace.token()) == (host.url, "token-1")
    import os

    assert os.environ["DATABRICKS_TOKEN"] == "dapi-prod"


def test_a_refused_secret(connect: Connect, host: FakeHost) -> None:
    host.on(
        "POST",
        "/oidc/v1/token",
        Answer(401, {"error": "invalid_client", "error_description": "unknown client"}),
    )
    workspace = connect()
    with pytest.raises(DeployError) as caught:
        _ = workspace.me
    assert caught.value.code is Code.AUTH_FAILED
    assert "unknown client" in (caught.value.detail or "")
    assert "very-secret" not in str(caught.value.as_dict())


def test_a_web_server_that_is_no_workspace(connect: Connect, host: FakeHost) -> None:
    html = Answer(200, b"<html>hello</html>", {"Content-Type": "text/html"})
    for path in ("/.well-known/databricks-config", "/oidc/.well-known/oauth-authorization-server"):
        host.on("GET", path, html)
    host.on("POST", "/oidc/v1/token", Answer(404, b"<html>no</html>", {"Content-Type": "text/html"}))
    with pytest.raises(DeployError) as caught:
        _ = connect().me
    assert caught.value.code is Code.AUTH_FAILED
    assert "is the host right?" in caught.value.message


def test_nothing_listens_there(network: Network, time: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("DATABRICKS_HOST", url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-1")
    error = failure(with_host(), network, time)
    assert error.code is Code.WORKSPACE_UNREACHABLE
    assert url in error.message
    assert sum(time.slept) < 30


def test_a_renewed_login_uses_a_new_token(connect: Connect, host: FakeHost) -> None:
    workspace = connect()
    assert workspace.token() == "token-1"
    host.on(
        "POST",
        "/oidc/v1/token",
        Answer(body={"access_token": "token-2", "token_type": "Bearer", "expires_in": 3600}),
    )
    assert workspace.token() == "token-1"
    workspace.renew()
    assert workspace.token() == "token-2"


def test_a_profile_that_is_missing_is_named(network: Network, databrickscfg: Path) -> None:
    with pytest.raises(DeployError, match=f"There is no profile nosuch in {databrickscfg}") as caught:
        _ = Workspace.connect(with_host(profile="nosuch"), network).me
    assert caught.value.code is Code.AUTH_FAILED
    assert f"grep '^\\[' {databrickscfg}" in caught.value.hint
