"""The table of routes from the manifests of a build. The order expected here is Next's own (resolve-routes.js)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.build import routes

MIDDLEWARE = r"^(?:\/(_next\/data\/[^/]{1,}))?(?:\/((?!_next|trpc|.*\..*).*))(\.json)?[\/#\?]?$"


def built(folder: Path, rewrites: Any, **files: Any) -> Path:
    """A `.next` with a routes manifest; `files` are further manifests, by name with _ for / and -."""
    path = folder / ".next"
    (path / "server").mkdir(parents=True)
    routing = {"version": 3, "rewrites": rewrites, **files.pop("routing", {})}
    (path / "routes-manifest.json").write_text(json.dumps(routing))
    for name, content in files.items():
        place = "" if name.startswith("app_path") else "server/"
        (path / f"{place}{name.replace('_', '-')}.json").write_text(json.dumps(content))
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
    assert routes.of_build(built(tmp_path, {"afterFiles": rewrites, "beforeFiles": []})) == [
        {"prefix": "/health", "to": "/health", "exact": True},
        {"prefix": "/register", "to": "/api/auth/register", "exact": True},
        {"prefix": "/trpc", "to": "/trpc/frontend", "exact": False},
        {"prefix": "/service", "exact": False, "closed": "service.example.com"},
    ]


def test_the_list_form_of_the_manifest(tmp_path: Path) -> None:
    assert routes.of_build(built(tmp_path, [rewrite("/a/:path*", "http://localhost:1/a/:path*")])) == [
        {"prefix": "/a", "to": "/a", "exact": False}
    ]


def test_what_next_answers_before_a_rewrite_stands_before_it(tmp_path: Path) -> None:
    rewrites = {
        "beforeFiles": [rewrite("/first/:path*", "http://localhost:1/first/:path*")],
        "afterFiles": [rewrite("/a/:path*", "http://localhost:1/a/:path*")],
        "fallback": [rewrite("/last/:path*", "http://localhost:1/last/:path*")],
    }
    routing = {
        "redirects": [
            {"source": "/:path+/", "destination": "/:path+", "internal": True, "regex": "^slash/$"},
            {"source": "/old", "destination": "/new", "regex": "^/old$"},
            {
                "source": "/some",
                "destination": "/new",
                "regex": "^/some$",
                "has": [{"type": "header", "key": "x"}],
            },
        ],
        "dynamicRoutes": [{"page": "/[locale]", "regex": "^/([^/]+?)(?:/)?$"}],
    }
    folder = built(
        tmp_path,
        rewrites,
        routing=routing,
        middleware_manifest={"middleware": {"/": {"matchers": [{"regexp": MIDDLEWARE}]}}},
        app_path_routes_manifest={"/a/(group)/page": "/a", "/b/page": "/b", "/a/[id]/page": "/a/[id]"},
    )
    for name in ("first/x.svg", "a/x.svg", "other.svg"):
        (tmp_path / "public" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "public" / name).write_text("")
    front = [(r.get("front") or r.get("prefix") or "other", r.get("flags")) for r in routes.of_build(folder)]
    assert front == [
        ("other", None),  # the last slash
        ("^/old$", "i"),
        ("other", "i"),  # a redirect answers every method
        ("^/some$", "i"),
        (MIDDLEWARE, ""),
        ("/first", None),
        ("^/a$", ""),
        (r"^/a/x\.svg$", ""),
        ("/a", None),
        ("^/([^/]+?)(?:/)?$", ""),
        ("/last", None),
    ]


def test_a_middleware_of_nodes_runtime_without_matchers_sees_everything(tmp_path: Path) -> None:
    folder = built(
        tmp_path,
        [rewrite("/a", "http://localhost:1/a")],
        functions_config_manifest={"functions": {"/_middleware": {}}},
    )
    assert routes.of_build(folder)[0] == {"front": ".*", "flags": ""}


def test_handlers_are_what_the_manifests_name(tmp_path: Path) -> None:
    folder = built(
        tmp_path,
        [rewrite("/a", "http://localhost:1/a")],
        routing={"dynamicRoutes": [{"page": "/[locale]/form", "regex": "^/([^/]+?)/form(?:/)?$"}]},
        app_path_routes_manifest={
            "/favicon.ico/route": "/favicon.ico",
            "/hook/route": "/hook",
            "/[locale]/(sidebar)/form/page": "/[locale]/form",
            "/[locale]/page": "/[locale]",
        },
        pages_manifest={"/_app": "pages/_app.js", "/api/x": "pages/api/x.js", "/apis": "pages/apis.js"},
        server_reference_manifest={"node": {"40ab": {"workers": {"app/[locale]/(sidebar)/form/page": {}}}}},
    )
    found = [route["handler"] for route in routes.of_build(folder) if "handler" in route]
    assert [
        path for path in ("/hook", "/api/x", "/en/form", "/en", "/favicon.ico", "/apis") if takes(found, path)
    ] == [
        "/hook",
        "/api/x",
        "/en/form",
    ]


def takes(patterns: list[str], path: str) -> bool:
    return any(re.search(pattern, path) for pattern in patterns)


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
        routes.of_build(built(tmp_path, {"afterFiles": [rewrite("/x", "http://localhost:1/x"), odd]}))
    assert e.value.code is Code.BUNDLE_INVALID
    assert odd["source"] in e.value.message


def test_rewrites_within_the_front_end_are_left_to_it(tmp_path: Path) -> None:
    rewrites = [rewrite("/a", "http://localhost:1/a"), rewrite("/old/:id(\\d+)", "/new/:id")]
    found = routes.of_build(built(tmp_path, rewrites))
    assert found == [{"prefix": "/a", "to": "/a", "exact": True}]


def test_none_to_the_backend_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="no rewrite to the backend"):
        routes.of_build(built(tmp_path, {"fallback": [rewrite("/x", "https://example.com/x")]}))
