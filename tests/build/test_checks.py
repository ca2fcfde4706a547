"""A build without upstream's checks gives the release of a build with them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from metamcp_deploy.config.project import Project
from metamcp_deploy.release.build import checks, frontend

Write = Callable[[Path, dict[str, str | bytes]], Path]


def test_packages_are_built_without_type_declarations(tmp_path: Path, write: Write) -> None:
    given = {
        "packages/types/tsup.config.ts": "export default { dts: true, minify: true };",
        "packages/plain/tsup.config.ts": "export default { minify: true };",
        "apps/backend/tsup.config.ts": "export default { dts: true };",
    }
    tree = write(tmp_path, dict(given))
    checks.leave_out_declarations(tree)
    after = {name: (tree / name).read_text() for name in given}
    assert after.pop("packages/types/tsup.config.ts") == "export default { dts: false, minify: true };"
    assert after == {name: text for name, text in given.items() if name in after}


@pytest.mark.parametrize(
    "path", ["apps/frontend/server.js", "apps/frontend/.next/required-server-files.json"]
)
@pytest.mark.parametrize("last", [True, False])
def test_switches_of_the_build_do_not_reach_the_release(path: str, last: bool) -> None:
    switches = {"eslint": {"ignoreDuringBuilds": True}, "typescript": {"ignoreBuildErrors": True}}
    excludes = {"outputFileTracingExcludes": {"next-server": ["**/node_modules/typescript/**"]}}
    built = {"a": 1, **switches, **excludes} if last else {**excludes, **switches, "a": 1}
    content = checks.without_switches(path, json.dumps(built, separators=(",", ":")).encode())
    usual = {"eslint": {"ignoreDuringBuilds": False}, "typescript": {"ignoreBuildErrors": False}, "a": 1}
    assert json.loads(content) == usual


def test_other_files_are_let_be() -> None:
    text = b'{"ignoreBuildErrors":true}'
    assert checks.without_switches("apps/frontend/.next/server/app/page.js", text) == text


def test_a_release_records_the_defaults(built_sample: Project) -> None:
    with tarfile.open(built_sample.bundle / "app/frontend.tar.gz") as archive:
        server = archive.extractfile(frontend.ENTRY)
        assert server
        text = server.read().decode()
    assert '"ignoreDuringBuilds":false' in text
    assert '"ignoreBuildErrors":false' in text
    assert "outputFileTracingExcludes" not in text
