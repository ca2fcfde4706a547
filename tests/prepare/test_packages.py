"""Known vulnerabilities of a lockfile's packages. Expected ranges are those of the published advisories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.upstream import advisories, packages

CODE_EXECUTION, HANG, IMAGES = "GHSA-9qr9-h5gf-34mp", "GHSA-mwv6-3258-q52c", "GHSA-2464-fhr4-w9xw"
STILL_HANGS, AVIF = "GHSA-5j59-xgg2-r9c4", "GHSA-2xp9-vwfh-vxw4"


def tree(folder: Path, **versions: str) -> Path:
    lines = [
        f"  {name.replace('_', '-')}@{version}:\n    resolution: {{}}\n" for name, version in versions.items()
    ]
    text = "lockfileVersion: '9.0'\n\npackages:\n\n" + "".join(lines) + "\nsnapshots:\n\n  next@1.0.0: {}\n"
    (folder / "pnpm-lock.yaml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("version", "there", "gone"),
    [
        ("15.4.8", [HANG, IMAGES, AVIF], [CODE_EXECUTION, STILL_HANGS]),  # v2.4.20 to v2.4.22
        ("15.4.9", [STILL_HANGS], [HANG]),  # its fix of the one was incomplete
        ("15.0.0-rc.1", [CODE_EXECUTION, HANG], []),
        ("15.1.0-canary.3", [CODE_EXECUTION], []),
        ("15.5.24", [IMAGES], [AVIF]),
        ("15.5.2", [CODE_EXECUTION, HANG], []),  # v2.4.19
        ("15.3.0", [CODE_EXECUTION, HANG], []),
        ("15.5.6", [CODE_EXECUTION], []),
        ("15.5.7", [HANG], [CODE_EXECUTION]),
        ("15.2.2", ["GHSA-f82v-jwr5-mffw"], []),
        ("15.2.3", [], ["GHSA-f82v-jwr5-mffw"]),
        ("15.0.0-canary.1", [], [STILL_HANGS]),
        ("15.5.28", [], [CODE_EXECUTION, HANG, IMAGES]),
    ],
)
def test_versions_of_next(tmp_path: Path, version: str, there: list[str], gone: list[str]) -> None:
    found = {hole.id: hole for hole in advisories.of_packages(tree(tmp_path, next=version))}
    assert set(there) <= found.keys()
    assert not set(gone) & found.keys()
    assert all(found[one].package == f"next@{version}" and found[one].here for one in there)
    assert [hole.severity or 0 for hole in found.values()] == sorted(
        (hole.severity or 0 for hole in found.values()), reverse=True
    )


# v2.4.22's Next, as the GitHub Advisory Database and the CVE records have it: what was published in 2026.
OF_2026 = {
    "GHSA-9g9p-9gw9-jx7f": (5.9, "15.5.10"),
    "GHSA-ggv3-7p47-pfv8": (6.3, "15.5.13"),
    "GHSA-3x4c-7xq6-9pq8": (6.9, "16.1.7"),
    "GHSA-q4gf-8mx6-v5v3": (7.5, "15.5.15"),
    "GHSA-267c-6grr-h53f": (7.5, "15.5.16"),
    "GHSA-36qx-fr4f-26g5": (7.5, "15.5.16"),
    "GHSA-mg66-mrh9-m8jx": (7.5, "15.5.16"),
    "GHSA-gx5p-jg67-6x7h": (6.1, "15.5.16"),
    "GHSA-h64f-5h5j-jqjh": (5.9, "15.5.16"),
    "GHSA-wfc6-r584-vfw7": (5.4, "15.5.16"),
    "GHSA-ffhc-5mcf-pf4q": (4.7, "15.5.16"),
    "GHSA-vfv6-92ff-j949": (3.7, "15.5.16"),
    "GHSA-3g8h-86w9-wvmq": (3.7, "15.5.16"),
    "GHSA-m99w-x7hq-7vfj": (8.2, "15.5.21"),
    "GHSA-955p-x3mx-jcvp": (6.3, "15.5.21"),
    "GHSA-p9j2-gv94-2wf4": (8.3, "15.5.21"),
    "GHSA-4c39-4ccg-62r3": (6.3, "15.5.21"),
    "GHSA-4633-3j49-mh5q": (6.3, "15.5.21"),
    "GHSA-68g3-v927-f742": (6.0, "15.5.21"),
    "GHSA-89xv-2m56-2m9x": (8.3, "15.5.21"),
    "GHSA-p293-qw3h-jr36": (9.0, "15.5.24"),
    "GHSA-p3m5-59mp-jv5r": (8.2, "15.5.28"),
}


def test_what_is_known_of_the_pins_next(tmp_path: Path) -> None:
    found = {hole.id: hole for hole in advisories.of_packages(tree(tmp_path, next="15.4.8"))}
    assert {name: (found[name].severity, found[name].fixed) for name in OF_2026 if name in found} == OF_2026
    assert [hole.id for hole in found.values() if (hole.severity or 0) >= 7 and not hole.here] == []
    later = advisories.of_packages(tree(tmp_path, next="16.4.1"))
    assert not OF_2026.keys() & {hole.id for hole in later}


@pytest.mark.parametrize(
    ("package", "version", "scores"),
    [
        ("better_auth", "1.3.25", {"GHSA-99h5-pjcv-gr6v": 8.6, "GHSA-p6v2-xcpg-h6xw": 7.3}),
        ("better_auth", "1.5.0-beta.8", {"GHSA-p6v2-xcpg-h6xw": 7.3}),
        ("better_auth", "1.5.0-beta.9", {}),
        ("qs", "6.14.0", {"GHSA-6rw7-vpxm-498p": 3.7}),
        ("body_parser", "2.2.0", {"GHSA-wqch-xfxh-vrr4": 5.3}),
        ("body_parser", "2.1.0", {}),
    ],
)
def test_versions_of_others(tmp_path: Path, package: str, version: str, scores: dict[str, float]) -> None:
    found = {hole.id: hole.severity for hole in advisories.of_packages(tree(tmp_path, **{package: version}))}
    assert scores.items() <= found.items()
    assert found if scores else not found


def test_what_nothing_closes_is_said(tmp_path: Path) -> None:
    found = advisories.of_packages(tree(tmp_path, better_auth="1.4.2", next="15.4.8"))
    warned = advisories.warning(found, "v2.4.22")
    assert warned is not None
    assert "what is done here closes them" in warned.text
    assert (
        "GHSA-p6v2-xcpg-h6xw (7.3) of better-auth@1.4.2: an"
        in warned.text.partition("Nothing here closes")[2]
    )
    assert "fixed in 1.4.17" in warned.text
    lines = [advisories.told(hole) for hole in advisories.as_facts(found)]
    assert any("Nothing here closes it; fixed in 1.4.17" in line for line in lines)


def test_a_tree_without_a_lockfile_has_none(tmp_path: Path) -> None:
    assert advisories.of_packages(tmp_path) == []


def test_the_lists_fit_together() -> None:
    shipped = {entry["id"] for entry in json.loads(packages.SHIPPED.read_bytes())}
    closed = advisories._data()["closed"]
    assert closed.keys() <= shipped
    assert all(packages.score(entry) for entry in json.loads(packages.SHIPPED.read_bytes()))


@pytest.fixture
def osv(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """OSV's query API: its answers by page, for each package the same; none: 503."""
    pages: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            page = pages[int(asked.get("page_token", 0))] if pages else {}
            ours = [
                v
                for v in page.get("vulns", [])
                if v["affected"][0]["package"]["name"] == asked["package"]["name"]
            ]
            self.send_response(200 if pages else 503)
            self.end_headers()
            self.wfile.write(json.dumps({**page, "vulns": ours}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setattr(packages, "API", f"http://127.0.0.1:{server.server_port}/v1/query")
        yield pages
        server.shutdown()


def vulnerability(name: str, **more: Any) -> dict[str, Any]:
    ranges = [{"type": "SEMVER", "events": [{"introduced": "0"}, {"last_affected": "15.4.8"}]}]
    affected = [{"package": {"ecosystem": "npm", "name": "next"}, "ranges": ranges}]
    return {"id": name, "affected": affected, "database_specific": {"severity": "CRITICAL"}, **more}


def test_a_fetched_list_counts(
    osv: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METAMCP_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(DeployError) as caught:
        packages.update(requests.Session())
    assert caught.value.code is Code.UPSTREAM_UNREACHABLE
    assert advisories.of_packages(tree(tmp_path, next="15.4.8"))  # the shipped list
    withdrawn = vulnerability("GHSA-gone", withdrawn="2026-01-01T00:00:00Z")
    osv += [{"vulns": [vulnerability("GHSA-new"), withdrawn], "next_page_token": "1"}, {"vulns": []}]
    packages.update(requests.Session())
    (found,) = advisories.of_packages(tree(tmp_path, next="15.4.8"))
    assert (found.id, found.severity, found.here) == ("GHSA-new", 10.0, "")
    assert advisories.again([], {"next": ["15.4.9"]}) == []
