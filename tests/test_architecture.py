"""Holds docs/architecture.md: who imports whom, and which library is whose."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "metamcp_deploy"

# Level of each part: imports go to a lower level only, `console` to events and errors only.
LEVELS = [
    {"errors"},
    {"events"},
    {"config"},
    {"process", "resources", "fingerprint", "network"},
    {"pipeline", "postgres"},
    {"workspace", "patches"},
    {"health", "verify", "local"},
    {"stages"},
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
            allowed = other in ("events", "errors")
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
        assert part.startswith("__") or f"| `{part}` |" in described, part
