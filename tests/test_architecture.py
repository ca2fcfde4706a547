"""Holds docs/architecture.md: who imports whom, and which library is whose."""

import ast
import graphlib
import re
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "metamcp_deploy"

# Level of each part: imports go to a lower level only, `console` to events, errors and the redactor only.
LEVELS = [
    {"errors", "linesearch"},
    {"events", "atomic", "disk", "redaction"},
    {"config"},
    {"process", "resources", "fingerprint", "network"},
    {"plan", "knowledge", "pipeline", "postgres", "container", "git"},
    {"workspace", "patches"},
    {"health", "verify", "local"},
    {"target", "upstream"},
    {"release"},
    {"deployments"},
    {"converge", "database"},
    {"stages", "rollback", "destroy", "secrets", "preflight", "predecessor", "status"},
    {"doctor"},
    {"cli", "console"},
]
LEVEL = {part: n for n, parts in enumerate(LEVELS) for part in parts}
# Parts on the level of `process` that the others there may use: their imports are one-way and documented.
SAME_LEVEL = {("fingerprint", "resources"), ("network", "resources"), ("cli", "console")}
OWNERS = {
    "typer": "cli",
    "click": "cli",
    "rich": "console",
    "subprocess": "process",
    "databricks": "workspace",
    "git": "git",
    "re2": "linesearch",
    "gitdb": "git",
}
MODULES = sorted(p for p in SOURCE.rglob("*.py") if "sample" not in p.relative_to(SOURCE).parts)


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Dotted names of what a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            if node.module == "metamcp_deploy":
                yield from ((f"metamcp_deploy.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield from ((str(node.module), node.lineno) for _ in [0])


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_rightwards(path: Path) -> None:
    part = part_of(path)
    if part in ("__init__", "__main__"):
        return
    assert part in LEVEL, f"{part} is no part in docs/architecture.md"
    for name, line in imported(path):
        words = name.split(".")
        if words[0] != "metamcp_deploy" or len(words) < 2 or words[1] in (part, "__version__"):
            continue
        other = words[1]
        allowed = (part, other) in SAME_LEVEL or LEVEL[other] < LEVEL[part]
        if part == "console":
            allowed = other in ("events", "errors", "redaction")
        assert allowed, f"{path.name}:{line}: {part} must not import {other}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_libraries_have_one_owner(path: Path) -> None:
    for name, line in imported(path):
        owner = OWNERS.get(name.split(".")[0])
        assert owner is None or owner == part_of(path), f"{path.name}:{line}: only {owner} imports {name}"


def test_every_part_is_described() -> None:
    described = (SOURCE.parent.parent / "docs" / "architecture.md").read_text()
    for path in MODULES:
        part = part_of(path)
        assert part.startswith("__") or re.search(rf"^\|[^|]*`{part}`[^|]*\|", described, re.M), part


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


FILES = {name_of(path): path for path in MODULES}


def modules_imported(path: Path, types: bool) -> set[str]:
    """Modules of the package that a module imports, wherever in it; with `types` those that only types need, too."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = node.body if types else []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "metamcp_deploy":
            base = str(node.module).removeprefix("metamcp_deploy").removeprefix(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix(".")
                found.add(inner if inner in FILES else base)
    return (found & set(FILES)) - {name_of(path)}


def test_files_form_no_circle() -> None:
    try:
        graphlib.TopologicalSorter({n: modules_imported(p, types=True) for n, p in FILES.items()}).prepare()
    except graphlib.CycleError as e:
        raise AssertionError(" → ".join(e.args[1])) from None


SCRIPTS = sorted(p for p in SOURCE.rglob("*.mjs") if "sample" not in p.relative_to(SOURCE).parts)


def scripts_imported(path: Path) -> set[Path]:
    """Files beside or around a script that it imports, statically or when it runs."""
    named = re.findall(r"""(?:\bfrom|\bimport\(?) *["'](\.{1,2}/[^"']+)["']""", path.read_text())
    return {(path.parent / name).resolve() for name in named}


def test_scripts_form_no_circle() -> None:
    graph = {path.resolve(): scripts_imported(path) for path in SCRIPTS}
    assert not {path for paths in graph.values() for path in paths if not path.is_file()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as e:
        raise AssertionError(" → ".join(path.name for path in e.args[1])) from None


# What a stage's output does not depend on: how settings are read (their values are parameters of the stage), how work
# is run and reported, and what looks at a result without changing it.
WITHOUT_EFFECT = {
    *("", "errors", "events", "atomic", "disk", "config", "pipeline", "fingerprint", "resources"),
    *("process", "network", "postgres", "container", "target", "release.artifact"),
}


@pytest.mark.parametrize("stage", ["prepare", "patch", "build"])
def test_a_stage_depends_on_all_the_sources_that_shape_its_output(stage: str) -> None:
    """A list that became too short would leave old output in place after an upgrade."""
    sources = import_module(f"metamcp_deploy.stages.{stage}").SOURCES
    for source in sources:
        assert (SOURCE / source).exists(), source
    closure, waiting = set[str](), {f"stages.{stage}"}
    while waiting:
        name = waiting.pop()
        closure.add(name)
        waiting |= {
            n for n in modules_imported(FILES[name], types=False) if not {n, n.split(".")[0]} & WITHOUT_EFFECT
        } - closure
    paths = {FILES[name].relative_to(SOURCE).as_posix() for name in closure}
    paths = {p for p in paths if p not in ("release/__init__.py", "stages/__init__.py")}
    assert not {p for p in paths if not any(p == s or p.startswith(f"{s}/") for s in sources)}
    # Data files beside the modules are covered where their folder is.
    data = {
        file.relative_to(SOURCE).as_posix()
        for path in paths
        for file in (SOURCE / path).parent.iterdir()
        if file.is_file() and file.suffix != ".py"
    }
    assert not {p for p in data if not any(p == s or p.startswith(f"{s}/") for s in sources)}


ROOM = 25
"""Files of code that one folder may hold: more is a corridor, and some of them belong together."""


def test_no_folder_is_crowded() -> None:
    files = (p for p in SOURCE.rglob("*") if p.suffix in (".py", ".mjs") and "sample" not in p.parts)
    crowded = {p: n for p, n in Counter(p.parent for p in files).items() if n > ROOM}
    assert not crowded
