"""Names, paths and values from the configuration cannot lead anywhere else than they say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from metamcp_deploy.config.model import Settings

NAMES = ("..", "../x", "a/../b", "a%2fb", "a?o=1", "a#b", "a b", "a\nb", "a\x00b", "", "-x", "projects/p")
PATHS = (
    *("/etc", "Workspace/a", "/Workspace/", "/Workspace/../x", "/Workspace/a/../b", "/Workspace/a//b"),
    *("/Workspace/./a", "/Workspace/a/.", "/Workspace/%2e%2e/x", "/Workspace/a%2fb", "/Workspace/a?o=1"),
    *("/Workspace/a#b", "/Workspace/a\\..\\b", "/Workspace/a\nb", "/Workspace/a\x7fb", "/Workspace/${x}"),
)
LINES = ("a\nb", "a\rb", "a\x00b")


def refused(section: str, **value: Any) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"target": "dev", section: value})


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    refused("app", name=name)
    for key in ("project", "branch", "endpoint", "instance", "name"):
        refused("database", **{key: name})
    refused("database", schema=name)
    if name not in ("..", "-x"):  # a scope may be called so, and is never part of a path
        refused("secrets", scope=name)
        refused("app", env={"X": {"secret": name}})


@pytest.mark.parametrize("path", PATHS)
def test_paths(path: str) -> None:
    refused("workspace", root_path=path)


def test_paths_of_people_and_teams() -> None:
    for path in ("/Workspace/Shared/metamcp", "/Workspace/Users/ada+x@example.com/my apps/é"):
        assert (
            Settings.model_validate({"target": "x", "workspace": {"root_path": path}}).workspace.root_path
            == path
        )


@pytest.mark.parametrize("text", LINES)
def test_values(text: str) -> None:
    refused("app", env={"X": text})
    refused("app", env={text: "x"})
    refused("app", description=text)
    refused("app", contact=text)
    refused("app", operators=[f"{text}@example.com"])
    refused("app", user_api_scopes=[text])
    refused("app", permissions=[{"level": "CAN_USE", "group_name": text}])


@pytest.mark.parametrize(
    "host",
    [
        "https://dev.example.com/?o=123",
        "https://dev.example.com/#x",
        "https://DEV.example.com/browse/../x",
        "dev.example.com",
    ],
)
def test_hosts_are_origins(host: str) -> None:
    settings = Settings.model_validate({"target": "dev", "workspace": {"host": host}})
    assert settings.workspace.host == "https://dev.example.com"


@pytest.mark.parametrize(
    "host", ["https://a@b.example.com", "http://dev.example.com", "https://", "https://a%2fb", "ftp://a"]
)
def test_hosts_that_are_none(host: str) -> None:
    refused("workspace", host=host)
