"""The engine, with patches written for the test."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.patches import declaration, engine
from tests.patches.patch_helpers import PatchMaker, write

APP = "export const a = call(1);\nexport const b = call(2);\nexport const c = other('ü😀', 3);\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write(tmp_path / "tree", {"src/app.ts": APP})


def test_every_match_is_replaced_by_position(tree: Path, patch_of: PatchMaker) -> None:
    patch = patch_of("""
        src/app.ts:
          edits:
            name: {find: call($X), count: 2, text: made()}
            last: {find: "other($TEXT, $N)", replace: N, text: "4"}
    """)
    applied = engine.apply(tree, [patch], {})
    assert (tree / "src/app.ts").read_text() == APP.replace("call(1)", "made()").replace(
        "call(2)", "made()"
    ).replace(", 3)", ", 4)")
    assert applied == [engine.Applied("mine", "w", ("src/app.ts",), 3)]


def test_templates_see_the_match_and_the_values(tree: Path, patch_of: PatchMaker, tmp_path: Path) -> None:
    patch = patch_of("src/app.ts: {edits: {made: {find: other($$$ALL)}}}")
    templates = write(
        tmp_path, {"templates/patches/mine/made.ts": "{{ schema }}({{ text }}, {{ ALL | length }})\n"}
    )
    engine.apply(tree, [patch], {"schema": "s"}, templates / "templates")
    assert "c = s(other('ü😀', 3), 2);\n" in (tree / "src/app.ts").read_text()


def test_new_lines_go_as_deep_as_the_line_they_land_on(tmp_path: Path, patch_of: PatchMaker) -> None:
    tree = write(tmp_path / "tree", {"a.ts": "f({\n  a: {\n    b: 1,\n  },\n});\n"})
    rule = "a.ts: {edits: {made: {find: {kind: pair, regex: '^a:'}}}}"
    templates = write(tmp_path, {"t/patches/mine/made.ts": "{{ text }},\nc: {\n  d: 2,\n}\n"})
    engine.apply(tree, [patch_of(rule)], {}, templates / "t")
    expected = "f({\n  a: {\n    b: 1,\n  },\n  c: {\n    d: 2,\n  },\n});\n"
    assert (tree / "a.ts").read_text() == expected


@pytest.mark.parametrize(("count", "found"), [("1", 2), ("3", 2), ("{occurrences_of: 'call'}", 2)])
def test_drift_names_file_pattern_found_and_expected(
    tree: Path, patch_of: PatchMaker, count: str, found: int
) -> None:
    (tree / "src/app.ts").write_text(APP + "// call: only a comment\n")
    patch = patch_of(f"src/app.ts: {{edits: {{name: {{find: call($X), count: {count}, text: x}}}}}}")
    with pytest.raises(DeployError) as caught:
        engine.apply(tree, [patch], {})
    assert caught.value.code is Code.PATCH_DRIFT
    expected = "3 (as often as /call/ occurs)" if "occ" in count else count
    assert caught.value.message == (
        f"Patch mine does not fit src/app.ts: name looks for `call($X)`: found {found}, expected {expected}."
    )


def test_a_computed_count_is_never_zero(tree: Path, patch_of: PatchMaker) -> None:
    rule = "src/app.ts: {edits: {n: {find: gone($X), count: {occurrences_of: gone}, text: x}}}"
    with pytest.raises(DeployError, match=r"found 0, expected 1\."):
        engine.apply(tree, [patch_of(rule)], {})


def test_a_file_that_is_gone_is_drift(tree: Path, patch_of: PatchMaker) -> None:
    with pytest.raises(DeployError, match=r"finds no file src/\*\.js") as caught:
        engine.apply(tree, [patch_of("src/*.js: {edits: {n: {find: a, text: x}}}")], {})
    assert caught.value.code is Code.PATCH_DRIFT


def test_nothing_is_written_when_a_later_patch_drifts(tree: Path, patch_of: PatchMaker) -> None:
    good = patch_of("src/app.ts: {edits: {n: {find: other($$$X), text: x}}}", "a")
    bad = patch_of("src/app.ts: {edits: {n: {find: gone($X), text: x}}}", "b")
    with pytest.raises(DeployError):
        engine.apply(tree, [good, bad], {})
    assert (tree / "src/app.ts").read_text() == APP


def test_already_true_upstream_is_obsolete(tree: Path, patch_of: PatchMaker) -> None:
    patch = patch_of("src/app.ts: {unless_present: other($$$X), edits: {n: {find: gone($X), text: x}}}")
    with pytest.raises(DeployError, match=r"obsolete: what it does is already so in src/app\.ts") as caught:
        engine.apply(tree, [patch], {})
    assert caught.value.code is Code.PATCH_OBSOLETE
    assert caught.value.hint == f"Delete {patch.source}."


def test_overlapping_edits_are_an_error_that_names_both(tree: Path, patch_of: PatchMaker) -> None:
    outer = patch_of("src/app.ts: {edits: {all: {find: call(2), text: x}}}", "outer")
    inner = patch_of("src/app.ts: {edits: {two: {find: {kind: number, regex: '^2$'}, text: y}}}", "inner")
    with pytest.raises(DeployError) as caught:
        engine.apply(tree, [outer, inner], {})
    assert caught.value.code is Code.PATCH_INVALID
    assert caught.value.message == "src/app.ts:2: outer.all and inner.two change the same text."
    assert (tree / "src/app.ts").read_text() == APP


def test_the_order_of_patches_does_not_matter(tmp_path: Path, patch_of: PatchMaker) -> None:
    patches = [
        patch_of("src/app.ts: {edits: {n: {find: call(1), text: call(2)}}}", "one"),
        patch_of("src/app.ts: {edits: {n: {find: call(2), text: longer(call(1))}}}", "two"),
        patch_of("src/app.ts: {edits: {n: {find: {kind: number, regex: '^3$'}, text: '0'}}}", "three"),
    ]
    results = set()
    for number, order in enumerate(itertools.permutations(patches)):
        tree = write(tmp_path / str(number), {"src/app.ts": APP})
        engine.apply(tree, order, {})
        results.add((tree / "src/app.ts").read_text())
    assert len(results) == 1
    assert "a = call(2);" in next(iter(results))


def test_exactly_one_variant_fits(tree: Path, patch_of: PatchMaker) -> None:
    variants = """
        src/app.ts:
          variants:
            first: {seen: v1, when: call(1), edits: {n: {find: call(1), text: one}}}
            second: {seen: v2, when: call(9), edits: {n: {find: call(9), text: nine}}}
    """
    engine.apply(tree, [patch_of(variants)], {})
    assert "a = one;" in (tree / "src/app.ts").read_text()
    for text, found in ("call(5);\n", 0), ("call(1);\ncall(9);\n", 2):
        (tree / "src/app.ts").write_text(text)
        with pytest.raises(
            DeployError, match=rf"knows {found} of its variants in src/app.ts.*first: `call\(1\)`"
        ):
            engine.apply(tree, [patch_of(variants)], {})


def test_a_missing_or_broken_template_is_named(tree: Path, patch_of: PatchMaker, tmp_path: Path) -> None:
    patch = patch_of("src/app.ts: {edits: {made: {find: call(1)}}}")
    with pytest.raises(DeployError, match=r"patches/mine/made\.ts") as caught:
        engine.apply(tree, [patch], {})
    assert caught.value.code is Code.TEMPLATE_INVALID
    templates = write(tmp_path, {"t/patches/mine/made.ts": "x\n{{ nobody }}\n"})
    with pytest.raises(DeployError, match="nobody"):
        engine.apply(tree, [patch], {}, templates / "t")


def test_a_link_is_not_edited(tree: Path, patch_of: PatchMaker, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"app.ts": APP})
    (tree / "src/linked.ts").symlink_to(outside / "app.ts")
    (tree / "far").symlink_to(outside)
    for path in "src/linked.ts", "far/app.ts":
        with pytest.raises(DeployError, match="symbolic link"):
            engine.apply(tree, [patch_of(f"{path}: {{edits: {{n: {{find: call(1), text: x}}}}}}")], {})
    assert (outside / "app.ts").read_text() == APP


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("src/app.py: {edits: {n: {find: x, text: y}}}", "whose syntax this tool cannot read"),
        ("src/raw.ts: {edits: {n: {find: x, text: y}}}", "not UTF-8"),
        ("src/app.ts: {edits: {n: {find: {kind: nonsense}, text: y}}}", "ast-grep does not accept its rule"),
        ("src/app.ts: {edits: {n: {find: {bogus: x}, text: y}}}", "ast-grep does not accept its rule"),
        ("src/app.ts: {edits: {n: {find: call(1), replace: GONE, text: y}}}", r"no variable \$GONE"),
    ],
)
def test_what_cannot_be_done_is_said(tree: Path, patch_of: PatchMaker, rule: str, problem: str) -> None:
    (tree / "src/app.py").write_text("x\n")
    (tree / "src/raw.ts").write_bytes(b"x\xff\n")
    with pytest.raises(DeployError, match=problem) as caught:
        engine.apply(tree, [patch_of(rule)], {})
    assert caught.value.code is Code.PATCH_INVALID


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("what: [", "is not YAML"),
        ("- a list", "must be a mapping"),
        ("id: other\nwhat: w", "its name is its id"),
        ("what: w", "why: Field required"),
        (
            "what: w\nwhy: y\nupstream: maybe\nverified: v\nfiles: {a.ts: {statements: qualify}}",
            "upstream: String should",
        ),
        ("what: w\nwhy: y\nupstream: never\nverified: v\nfiles: {}", "files"),
        (
            "what: w\nwhy: y\nupstream: never\nverified: v\nfiles: {a.ts: {}}",
            "exactly one of edits, variants",
        ),
        (
            "what: w\nwhy: y\nupstream: never\nverified: v\nfiles: {../a.ts: {statements: qualify}}",
            "not a path inside",
        ),
        (
            "what: w\nwhy: y\nupstream: never\nverified: v\nfiles: {/a.ts: {statements: qualify}}",
            "not a path inside",
        ),
        (
            "what: w\nwhy: y\nupstream: never\nverified: v\nfiles: {a.ts: {edits: {n: {find: x, count: 0}}}}",
            "greater than",
        ),
        (
            "what: w\nwhy: y\nupstream: never\nverified: v\nfiles: {a.ts: {edits: {n: {find: x, times: 1}}}}",
            "times: Extra",
        ),
        (
            "what: w\nwhy: y\nupstream: never\nverified: v\n"
            "files: {a.ts: {edits: {n: {find: x, count: {occurrences_of: '('}}}}}",
            "no regular expression",
        ),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_a_file_that_is_no_patch(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(DeployError) as caught:
        declaration.load(tmp_path)
    assert caught.value.code is Code.PATCH_INVALID
    assert caught.value.message.startswith(str(tmp_path / "mine.yaml"))
    assert problem in f"{caught.value.message}\n{caught.value.detail}"


def test_a_file_of_another_kind_is_no_patch(tmp_path: Path) -> None:
    write(tmp_path, {"README.md": "mine", ".hidden": "", "mine.yml": "what: w"})
    with pytest.raises(DeployError, match=r"mine\.yml is not a \.yaml file"):
        declaration.load(tmp_path)


def test_a_users_patch_takes_the_place_of_the_packages(patch_of: PatchMaker) -> None:
    mine = patch_of("a.ts: {edits: {n: {find: x, text: y}}}", "pool")
    assert [p for p in declaration.load(mine.source.parent) if p.id == "pool"] == [mine]
    assert not mine.own
