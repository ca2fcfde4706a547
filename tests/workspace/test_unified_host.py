"""One host that serves several workspaces: each request names the one it is for.

Expectations: the SDK's services set X-Databricks-Workspace-Id when their configuration knows the id; how an address
names it is read by the official command line's `ExtractHostQueryParams` (libs/auth/hostparams.go); a request without
it gets 400 and this plain text (its acceptance tests, auth/describe).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from metamcp_deploy.config import hosts
from metamcp_deploy.config.model import Settings
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.network import Network
from metamcp_deploy.workspace import Workspace
from tests.workspace.fake_host import Answer, FakeClock, FakeHost

_ME = "/api/2.0/preview/scim/v2/Me"


def configured(**workspace: str) -> Settings:
    return Settings.model_validate({"target": "dev", "workspace": workspace})


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("https://a.example.com/?o=123", "123"),
        ("a.example.com?o=123&a=x#/home", "123"),
        ("https://a.example.com/?w=conn-1", "conn-1"),
        ("https://a.example.com/?o=123&w=456", "123"),
        ("https://a.example.com/?workspace_id=9", "9"),
        ("https://a.example.com/?o=abc", None),
        ("https://a.example.com/", None),
    ],
)
def test_an_address_names_its_workspace(address: str, named: str | None) -> None:
    assert hosts.workspace_id(address) == named


@pytest.mark.parametrize(
    "where", ["profile", "profile's host", "environment", "host's variable", "settings", "host"]
)
def test_every_request_names_the_workspace(
    where: str,
    network: Network,
    time: FakeClock,
    host: FakeHost,
    isolated: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_profile = {"profile": "workspace_id = 123\n"}.get(where, "")
    behind = "/?o=123" if where == "profile's host" else ""
    profile = f"[dev]\nhost = {host.url}{behind}\ntoken = dapi-1\n{in_profile}"
    (isolated / ".databrickscfg").write_text(profile)
    stated = {"profile": "dev"}
    if where == "environment":
        monkeypatch.setenv("DATABRICKS_WORKSPACE_ID", "123")
    elif where == "host's variable":
        monkeypatch.setenv("DATABRICKS_HOST", f"{host.url}/?w=123")
        monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-1")
        stated = {}
    elif where == "settings":
        stated["id"] = "123"
    elif where == "host":
        stated["host"] = f"{host.url}/?o=123"
    workspace = Workspace.connect(configured(**stated), network, clock=time.clock)
    assert workspace.me == "dev@example.com"
    named = [r.headers.get("X-Databricks-Workspace-Id") for r in host.requests if r.path.startswith("/api/")]
    assert set(named) == {"123"}


def test_a_host_that_needs_the_id_says_what_to_set(network: Network, time: FakeClock, host: FakeHost) -> None:
    text = Answer(400, b"Unable to load OAuth Config", {"Content-Type": "text/plain"})
    host.on("GET", _ME, text)
    workspace = Workspace.connect(
        configured(), network, host=host.url, client_id="a", client_secret=secret(), clock=time.clock
    )
    with pytest.raises(DeployError) as caught:
        _ = workspace.me
    assert caught.value.code is Code.AUTH_FAILED
    assert "Unable to load OAuth Config" in caught.value.message
    assert "workspace_id" in caught.value.hint
    assert "workspace.id" in caught.value.hint


def test_a_profile_of_another_workspace_on_the_host_touches_nothing(
    network: Network, time: FakeClock, host: FakeHost, isolated: Path
) -> None:
    login = f"host = {host.url}\ntoken = dapi-1\n"
    (isolated / ".databrickscfg").write_text(f"[a]\n{login}workspace_id = 1\n[b]\n{login}workspace_id = 2\n")
    with pytest.raises(DeployError) as caught:
        Workspace.connect(configured(host=host.url, id="2", profile="a"), network, clock=time.clock)
    assert caught.value.code is Code.HOST_MISMATCH
    assert not [r for r in host.requests if r.path.startswith("/api/")]
    # Without a profile that of this workspace is found.
    found = Workspace.connect(configured(host=host.url, id="2"), network, clock=time.clock)
    assert found.login.source == "Profile b"


def secret() -> object:
    from metamcp_deploy.config.secret import Secret

    return Secret("very-secret")
