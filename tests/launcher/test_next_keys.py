"""Next's keys: placeholders in the release, keys of the deployment's own where the front end runs."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from metamcp_deploy.release.build.reproducible import PLACEHOLDERS, SCRIPT
from tests.launcher import launcher_programs as programs
from tests.launcher.launcher_app import AUTH_SECRET, LAUNCHER, App, archive

MANIFEST = "apps/frontend/.next/prerender-manifest.json"
SERVER_MANIFEST = "apps/frontend/.next/server/manifest.js"


def with_keys(folder: Path) -> None:
    """A front end whose manifests hold placeholders, as `build` packs it."""
    data = archive(
        {
            "apps/frontend/server.js": programs.FRONTEND,
            MANIFEST: json.dumps(
                {"preview": {k: v for k, v in PLACEHOLDERS.items() if k != "encryptionKey"}}
            ),
            SERVER_MANIFEST: f"self.X={json.dumps(json.dumps(PLACEHOLDERS))}",
        }
    )
    path = folder / "release.json"
    release = json.loads(path.read_text())
    digest = hashlib.sha256(data).hexdigest()
    release["parts"]["frontend"] |= {"sha256": digest, "keys": [MANIFEST, SERVER_MANIFEST]}
    path.write_text(json.dumps(release))
    (folder / "frontend.tar.gz").write_bytes(data)


def keys(app: App) -> dict[str, str]:
    found = next(app.scratch.glob(f"metamcp-release/{app.process.pid}-*/frontend/{MANIFEST}"))
    server = found.parents[3] / SERVER_MANIFEST
    inside: dict[str, str] = json.loads(json.loads(server.read_text().removeprefix("self.X=")))
    preview = json.loads(found.read_text())["preview"]
    assert preview == {k: v for k, v in inside.items() if k != "encryptionKey"}
    return inside


def test_each_deployment_has_keys_of_its_own_that_stay(launch: Callable[..., App]) -> None:
    app = launch(prepare=with_keys).up()
    first = keys(app)
    assert first.keys() == PLACEHOLDERS.keys()
    for name, placeholder in PLACEHOLDERS.items():
        assert first[name] != placeholder
        assert len(first[name]) == len(placeholder)
    assert len(base64.b64decode(first["encryptionKey"])) == 32
    assert len(set(first.values())) == len(first)
    assert AUTH_SECRET not in json.dumps(first)
    assert not any(value in app.log for value in first.values())
    app.stop()
    again = launch().up()
    assert keys(again) == first
    again.stop()
    other = launch(env={"BETTER_AUTH_SECRET": "another-secret"}).up()
    assert not set(keys(other).values()) & set(first.values())


def test_a_file_for_keys_that_is_missing_fails_the_start(launch: Callable[..., App]) -> None:
    def harm(folder: Path) -> None:
        with_keys(folder)
        path = folder / "release.json"
        path.write_text(path.read_text().replace("manifest.js", "other.js"))

    app = launch(prepare=harm)
    assert app.away().json()["code"] == "part_incomplete"


def test_build_and_launcher_know_the_same_placeholders(node: Path) -> None:
    code = f"""
    import {{ nextKeys }} from {json.dumps((LAUNCHER / "release/next-keys.mjs").as_uri())};
    console.log(JSON.stringify(nextKeys("s").map(([placeholder]) => placeholder)));
    """
    done = subprocess.run([node, "--input-type=module", "-e", code], capture_output=True, check=True)
    assert json.loads(done.stdout) == list(PLACEHOLDERS.values())
    assert 'Buffer.alloc(32, 4).toString("base64")' in SCRIPT.read_text()
