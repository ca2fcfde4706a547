"""Standalone outputs made here in pnpm's layout; whether they resolve is asked of the real Node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from metamcp_deploy import process
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.build import frontend, node, prune

Write = Callable[[Path, dict[str, str | bytes]], Path]
SERVER = "apps/frontend/server.js"


class Standalone:
    """A tree with a standalone output, to which packages are added."""

    def __init__(self, tree: Path, write: Write) -> None:
        self.tree, self._write = tree, write
        self.left = frontend.LeftOut()
        self.root = tree / "apps/frontend/.next/standalone"
        write(
            self.root, {SERVER: "", "package.json": "{}", "apps/frontend/package.json": '{"type":"commonjs"}'}
        )

    def package(self, ident: str, *needs: str, code: str = "") -> None:
        """`name@version`, with links to the packages it needs."""
        place = self.root / "node_modules/.pnpm" / ident.replace("/", "+") / "node_modules"
        name, version = ident.rsplit("@", 1)
        files = {
            "package.json": f'{{"name":"{name}","version":"{version}"}}',
            "index.js": code or f"exports.id = '{ident}'; exports.get = (n) => require(n);",
        }
        self._write(place / name, dict(files))
        for need in needs:
            self.link(place / need.rsplit("@", 1)[0], need)

    def link(self, at: Path, ident: str) -> None:
        at.parent.mkdir(parents=True, exist_ok=True)
        name = ident.rsplit("@", 1)[0]
        at.symlink_to(self.root / "node_modules/.pnpm" / ident.replace("/", "+") / "node_modules" / name)

    def root_link(self, ident: str) -> None:
        self.link(self.root / "apps/frontend/node_modules" / ident.rsplit("@", 1)[0], ident)

    def unpacked(self, to: Path) -> Path:
        for entry in frontend.entries(self.tree, self.left):
            self._write(to, {entry.path: entry.content})
        return to

    def run(self, to: Path, code: str) -> str:
        self.unpacked(to)
        script = to / "apps/frontend/try.js"
        script.write_text(code)
        return process.run([node.find().program, script]).stdout.strip()


@pytest.fixture
def standalone(tmp_path: Path, write: Write) -> Standalone:
    return Standalone(tmp_path / "tree", write)


def test_packages_move_up_and_resolve_without_links(standalone: Standalone, tmp_path: Path) -> None:
    standalone.package("next@15.0.0", "react@19.0.0", "@next/env@15.0.0")
    standalone.package("react@19.0.0")
    standalone.package("@next/env@15.0.0")
    standalone.root_link("next@15.0.0")
    said = standalone.run(
        tmp_path / "out",
        "const n = require('next'); console.log(n.id, n.get('react').id, n.get('@next/env').id)",
    )
    assert said == "next@15.0.0 react@19.0.0 @next/env@15.0.0"
    out = tmp_path / "out"
    assert not [p for p in out.rglob("*") if p.is_symlink() or p.name == ".pnpm"]
    assert sorted(p.name for p in (out / "node_modules").iterdir()) == ["@next", "next", "react"]


def test_two_versions_of_a_name_reach_who_needs_them(standalone: Standalone, tmp_path: Path) -> None:
    standalone.package("next@15.0.0", "ms@2.0.0", "debug@4.0.0", "send@1.0.0")
    standalone.package("debug@4.0.0", "ms@2.0.0")
    standalone.package("send@1.0.0", "ms@1.0.0")
    standalone.package("ms@1.0.0", "tiny@1.0.0")
    standalone.package("ms@2.0.0")
    standalone.package("tiny@1.0.0")
    standalone.root_link("next@15.0.0")
    said = standalone.run(
        tmp_path / "out",
        "const n = require('next'); const ms = n.get('send').get('ms');"
        "console.log(n.get('ms').id, n.get('debug').get('ms').id, ms.id, ms.get('tiny').id)",
    )
    assert said == "ms@2.0.0 ms@2.0.0 ms@1.0.0 tiny@1.0.0"


def test_cycles_end(standalone: Standalone, tmp_path: Path) -> None:
    standalone.package("a@1.0.0", "b@1.0.0")
    standalone.package("b@1.0.0", "a@1.0.0")
    standalone.package("b@2.0.0", "a@1.0.0")
    standalone.root_link("a@1.0.0")
    standalone.root_link("b@2.0.0")
    said = standalone.run(
        tmp_path / "out", "console.log(require('a').get('b').id, require('b').id, require('b').get('a').id)"
    )
    assert said == "b@1.0.0 b@2.0.0 a@1.0.0"


def test_what_pnpm_hoists_for_packages_that_do_not_name_it(standalone: Standalone, tmp_path: Path) -> None:
    standalone.package("next@15.0.0")
    standalone.package("map-support@1.0.0")
    standalone.root_link("next@15.0.0")
    standalone.link(standalone.root / "node_modules/.pnpm/node_modules/map-support", "map-support@1.0.0")
    said = standalone.run(tmp_path / "out", "console.log(require('next').get('map-support').id)")
    assert said == "map-support@1.0.0"


def test_what_is_not_needed_is_left_out_with_what_only_it_needs(
    standalone: Standalone, tmp_path: Path, write: Write
) -> None:
    standalone.package("next@15.0.0", "sharp@0.34.0", "react@19.0.0")
    standalone.package("sharp@0.34.0", "semver@7.0.0", "@img/sharp-linux-x64@0.34.0")
    for ident in ("semver@7.0.0", "@img/sharp-linux-x64@0.34.0", "react@19.0.0", "typescript@5.0.0"):
        standalone.package(ident)
    standalone.root_link("next@15.0.0")
    standalone.link(standalone.root / "node_modules/typescript", "typescript@5.0.0")
    write(
        standalone.root, {"apps/frontend/.next/server/page.js.map": "", "apps/frontend/.next/x.nft.json": ""}
    )
    out = standalone.unpacked(tmp_path / "out")
    assert sorted(p.name for p in (out / "node_modules").iterdir()) == ["next", "react"]
    assert not list(out.rglob("*.map")) + list(out.rglob("*.nft.json"))
    left = {row["what"]: row["files"] for row in standalone.left.as_list()}
    assert left[prune.PACKAGES["sharp"]] == left[prune.PACKAGES["typescript"]] == 2
    assert left[prune.PACKAGES["@img/*"]] == left["packages that only what is left out needs"] == 2
    assert left[prune.FILES["*.map"]] == 1


def test_rules_meet_what_only_a_build_or_development_loads() -> None:
    compiled = "node_modules/next/dist/compiled"
    assert prune.reason(f"{compiled}/postcss-modules-scope/index.js") == prune.reason(
        f"{compiled}/acorn/acorn.js"
    )
    assert prune.reason(f"{compiled}/crypto-browserify/index.js") != prune.reason(
        f"{compiled}/acorn/acorn.js"
    )
    assert prune.reason("node_modules/react-dom/cjs/react-dom.development.js")
    for kept in (
        f"{compiled}/next-server/app-page.runtime.prod.js",
        f"{compiled}/babel/bundle.js",
        "node_modules/react-dom/cjs/react-dom.production.js",
        "apps/frontend/.next/server/app/acorn/page.js",
        "apps/frontend/public/locales/en/common.json",
    ):
        assert prune.reason(kept) is None


def test_static_files_and_public_stand_beside_the_server(
    standalone: Standalone, tmp_path: Path, write: Write
) -> None:
    write(standalone.tree, {"apps/frontend/.next/static/a.css": "css", "apps/frontend/public/i/x.svg": "svg"})
    out = standalone.unpacked(tmp_path / "out")
    assert (out / "apps/frontend/.next/static/a.css").read_text() == "css"
    assert (out / "apps/frontend/public/i/x.svg").read_text() == "svg"
    assert (out / "apps/frontend/.next/static/health.js").is_file()  # what health asks the front end for


def test_a_link_that_leads_out_is_refused(standalone: Standalone, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (standalone.root / "apps/frontend/node_modules").mkdir()
    (standalone.root / "apps/frontend/node_modules/x").symlink_to(tmp_path / "outside")
    with pytest.raises(DeployError) as e:
        list(frontend.entries(standalone.tree, standalone.left))
    assert e.value.code is Code.BUNDLE_INVALID


def test_a_build_without_standalone_output_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="standalone") as e:
        frontend.check_built(tmp_path)
    assert e.value.code is Code.BUILD_FAILED


def test_what_the_server_loads_in_any_case_is_kept_whatever_the_rules_say(
    standalone: Standalone, tmp_path: Path, write: Write
) -> None:
    standalone.package("next@15.0.0")
    standalone.root_link("next@15.0.0")
    dist = standalone.root / "node_modules/.pnpm/next@15.0.0/node_modules/next/dist"
    write(
        dist,
        {
            "server/next.js": 'const _c = require("./config");\nfunction later() {\n  require("../compiled/tar");\n}\n',
            "server/config.js": 'const _t = require("../lib/typescript/one");\n',
            "lib/typescript/one.js": 'const _t = require("next/dist/compiled/acorn");\n',
            "lib/typescript/two.js": "",
            "compiled/acorn/package.json": '{"main": "acorn.js"}',
            "compiled/acorn/acorn.js": "",
            "compiled/tar/index.js": "",
            "compiled/util/index.js": "",
        },
    )
    write(
        standalone.root,
        {
            SERVER: "require('next/dist/server/next')",
            "apps/frontend/.next/server/page.js": 'module.exports=()=>{return require("next/dist/compiled/util")}',
        },
    )
    out = standalone.unpacked(tmp_path / "out") / "node_modules/next/dist"
    found = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert {"lib/typescript/one.js", "compiled/acorn/acorn.js", "compiled/util/index.js"} <= found
    assert not {"lib/typescript/two.js", "compiled/tar/index.js"} & found
