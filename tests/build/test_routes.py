import json
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.build import routes


def manifest(folder: Path, rewrites: Any) -> Path:
    path = folder / "routes-manifest.json"
    path.write_text(json.dumps({"version": 3, "rewrites": rewrites}))
    return path


def rewrite(source: str, destination: str, **more: Any) -> dict[str, Any]:
    return {"source": source, "destination": destination, "regex": "", **more}


def test_backend_rewrites_become_routes_in_order(tmp_path: Path) -> None:
    rewrites = [
        rewrite("/health", "http://127.0.0.1:12009/health"),
        rewrite("/register", "http://localhost:12009/api/auth/register"),
        rewrite("/trpc/:path*", "http://127.0.0.1:12009/trpc/frontend/:path*"),
        rewrite("/service/:path*", "https://service.example.com/:path*"),
    ]
    assert routes.of_manifest(manifest(tmp_path, {"afterFiles": rewrites, "beforeFiles": []})) == [
        {"prefix": "/health", "to": "/health", "exact": True},
        {"prefix": "/register", "to": "/api/auth/register", "exact": True},
        {"prefix": "/trpc", "to": "/trpc/frontend", "exact": False},
        {"prefix": "/service", "exact": False, "closed": "service.example.com"},
    ]


def test_the_list_form_of_the_manifest(tmp_path: Path) -> None:
    assert routes.of_manifest(manifest(tmp_path, [rewrite("/a/:path*", "http://localhost:1/a/:path*")])) == [
        {"prefix": "/a", "to": "/a", "exact": False}
    ]


@pytest.mark.parametrize(
    "odd",
    [
        rewrite("/a/:id", "http://localhost:12009/a/:id"),
        rewrite("/a/:path*", "http://localhost:12009/b"),
        rewrite("/a/(.*)", "http://localhost:12009/a"),
        rewrite("/a", "http://localhost:12009/a", has=[{"type": "header", "key": "x"}]),
        rewrite("/:path*", "https://outside.example.com/:path*"),
        rewrite("/a/:id/b", "https://outside.example.com/:id"),
    ],
)
def test_a_form_the_launcher_cannot_follow_is_named(tmp_path: Path, odd: dict[str, Any]) -> None:
    with pytest.raises(DeployError) as e:
        routes.of_manifest(manifest(tmp_path, {"afterFiles": [rewrite("/x", "http://localhost:1/x"), odd]}))
    assert e.value.code is Code.BUNDLE_INVALID
    assert odd["source"] in e.value.message


def test_rewrites_within_the_front_end_are_left_to_it(tmp_path: Path) -> None:
    rewrites = [rewrite("/a", "http://localhost:1/a"), rewrite("/old/:id(\\d+)", "/new/:id")]
    found = routes.of_manifest(manifest(tmp_path, rewrites))
    assert found == [{"prefix": "/a", "to": "/a", "exact": True}]


def test_none_to_the_backend_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="no rewrite to the backend"):
        routes.of_manifest(manifest(tmp_path, {"fallback": [rewrite("/x", "https://example.com/x")]}))
