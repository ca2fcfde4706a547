"""Applies patches to a tree. All edits of a file are computed on its original text and applied at once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamcp_deploy import resources
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.patches import migrations, syntax
from metamcp_deploy.patches.declaration import EditRule, FileRule, Occurrences, Patch
from metamcp_deploy.patches.text_edits import Edit, spliced

if TYPE_CHECKING:
    from ast_grep_py import SgNode


@dataclass(frozen=True)
class Applied:
    """A patch that was applied: the files it changed and how many edits it made."""

    id: str
    what: str
    files: tuple[str, ...]
    matches: int


@dataclass
class _Tree:
    """Texts and syntax trees of the files that patches ask for, each read and parsed once."""

    folder: Path
    values: Mapping[str, Any]
    templates: Path | None
    texts: dict[str, str] = field(default_factory=dict)
    roots: dict[str, SgNode] = field(default_factory=dict)
    _rendered: dict[Any, str] = field(default_factory=dict)

    def rendered(self, name: str, values: Mapping[str, Any]) -> str:
        """A template's text; the same values (every `pgTable(` of a file) are rendered once."""
        key = (name, tuple(sorted(values.items())))
        if key not in self._rendered:
            self._rendered[key] = resources.render(name, {**self.values, **values}, self.templates)
        return self._rendered[key].removesuffix("\n")

    def paths(self, pattern: str) -> list[str]:
        if not any(c in pattern for c in "*?["):
            return [pattern] if (self.folder / pattern).is_file() else []
        found = (p for p in self.folder.glob(pattern) if p.is_file())
        return sorted(p.relative_to(self.folder).as_posix() for p in found)

    def text(self, path: str, whose: str) -> str:
        if path not in self.texts:
            file = self.folder / path
            if file.is_symlink() or not file.resolve().is_relative_to(self.folder.resolve()):
                raise _invalid(f"{whose} edits {path}, which is or lies behind a symbolic link.", path)
            try:
                self.texts[path] = file.read_bytes().decode()
            except UnicodeDecodeError as e:
                raise _invalid(f"{whose} edits {path}, which is not UTF-8 text.", path) from e
        return self.texts[path]

    def root(self, path: str, whose: str) -> SgNode:
        if path not in self.roots:
            suffix = Path(path).suffix
            if suffix not in syntax.LANGUAGES:
                raise _invalid(f"{whose} edits {path}, whose syntax this tool cannot read.", path)
            self.roots[path] = syntax.parsed(suffix, self.text(path, whose))
        return self.roots[path]


def apply(
    folder: Path, patches: Sequence[Patch], values: Mapping[str, Any], templates: Path | None = None
) -> list[Applied]:
    """Applies all patches to the tree in `folder`; nothing is written before every edit of every patch is known.

    Args:
        folder: the tree.
        patches: in any order; the result is the same.
        values: what templates may name (`schema`), besides `text` and the match's variables.
        templates: the user's own, which come before the package's.

    Returns:
        what was applied, sorted by id.

    Raises:
        DeployError: PATCH_DRIFT, PATCH_OBSOLETE, PATCH_INVALID, PATCH_INCOMPLETE, TEMPLATE_INVALID.
    """
    tree = _Tree(folder, values, templates)
    edits: dict[str, list[Edit]] = defaultdict(list)
    applied = []
    for patch in sorted(patches, key=lambda p: p.id):
        of_patch = _edits_of(patch, tree)
        for path, found in of_patch.items():
            edits[path] += found
        files = tuple(sorted(path for path, found in of_patch.items() if found))
        applied.append(Applied(patch.id, patch.what, files, sum(map(len, of_patch.values()))))
    results = {path: spliced(path, tree.texts[path], found) for path, found in edits.items() if found}
    for path, text in results.items():
        (folder / path).write_bytes(text.encode())
    return applied


def _edits_of(patch: Patch, tree: _Tree) -> dict[str, list[Edit]]:
    result: dict[str, list[Edit]] = defaultdict(list)
    for pattern, rule in patch.files.items():
        paths = tree.paths(pattern)
        whose = f"patch {patch.id}"
        if not paths:
            raise _drift(patch, f"finds no file {pattern}", f"expected {pattern} in the upstream tree")
        if rule.statements:
            texts = {path: tree.text(path, whose) for path in paths}
            found = migrations.qualifications(texts, tree.values["schema"], whose)
            if not any(found.values()):
                raise _obsolete(patch, pattern)
        else:
            found = {path: _edits_in(patch, path, rule, tree) for path in paths}
        for path, edits in found.items():
            result[path] += edits
    return result


def _edits_in(patch: Patch, path: str, rule: FileRule, tree: _Tree) -> list[Edit]:
    whose = f"patch {patch.id}"
    root = tree.root(path, whose)
    if rule.unless_present and syntax.matches(root, rule.unless_present, whose):
        raise _obsolete(patch, path)
    edits = rule.edits
    if rule.variants:
        fitting = [v for v in rule.variants.values() if syntax.matches(root, v.when, whose)]
        if len(fitting) != 1:
            wanted = "; ".join(f"{name}: {syntax.worded(v.when)}" for name, v in rule.variants.items())
            raise _drift(
                patch,
                f"knows {len(fitting)} of its variants in {path}",
                f"found {len(fitting)}, expected 1 of {wanted}",
            )
        edits = fitting[0].edits
    return [edit for name, e in edits.items() for edit in _edits_by(patch, path, name, e, tree)]


def _edits_by(patch: Patch, path: str, name: str, rule: EditRule, tree: _Tree) -> list[Edit]:
    by = f"{patch.id}.{name}"
    text = tree.text(path, by)
    found = syntax.matches(tree.root(path, by), rule.find, by)
    wanted = rule.count
    if isinstance(wanted, Occurrences):
        expected = len(re.findall(wanted.occurrences_of, text))
        reason = f" (as often as /{wanted.occurrences_of}/ occurs)" if expected else ""
        expected = max(expected, 1)
    else:
        expected, reason = wanted, ""
    if len(found) != expected:
        raise _drift(
            patch,
            f"does not fit {path}: {name} looks for {syntax.worded(rule.find)}",
            f"found {len(found)}, expected {expected}{reason}",
        )
    return [_edit(patch, path, by, name, rule, match, tree) for match in found]


def _edit(patch: Patch, path: str, by: str, name: str, rule: EditRule, match: SgNode, tree: _Tree) -> Edit:
    node = match.get_match(rule.replace) if rule.replace else match
    if node is None:
        raise _invalid(f"{by}: its pattern has no variable ${rule.replace}.", str(patch.source))
    span, original = node.range(), tree.texts[path]
    line = original[original.rfind("\n", 0, span.start.index) + 1 : span.start.index]
    indent = line[: len(line) - len(line.lstrip())]
    if rule.text is None:
        values = {"text": node.text().replace("\n" + indent, "\n"), **_captured(rule.find, match)}
        new = tree.rendered(f"patches/{patch.id}/{name}{Path(path).suffix}", values)
    else:
        new = rule.text
    # New text is written as if it began at the left edge; it goes as deep as the line it lands on.
    return Edit(span.start.index, span.end.index, re.sub(r"\n(?=[^\n])", "\n" + indent, new), by)


def _captured(rule: syntax.Rule, match: SgNode) -> dict[str, str | tuple[str, ...]]:
    """Variables of the pattern: `$NAME` as text, `$$$NAMES` as a tuple of texts without the commas between."""
    captured: dict[str, str | tuple[str, ...]] = {}
    for dollars, name in set(re.findall(r"(\$\$\$|\$)([A-Z][A-Z0-9_]*)", str(rule))):
        if dollars == "$":
            node = match.get_match(name)
            captured[name] = node.text() if node else ""
        else:
            captured[name] = tuple(n.text() for n in match.get_multiple_matches(name) if n.text() != ",")
    return captured


def _drift(patch: Patch, problem: str, detail: str) -> DeployError:
    return DeployError(
        Code.PATCH_DRIFT,
        f"Patch {patch.id} {problem}: {detail}.",
        hint="Pin an upstream this tool knows (v2.0.4 to v2.4.22, main), or adapt the patch: put a changed copy of "
        f"{patch.source.name} into your patches/ folder, where it takes this one's place.",
    )


def _obsolete(patch: Patch, path: str) -> DeployError:
    return DeployError(
        Code.PATCH_OBSOLETE,
        f"Patch {patch.id} is obsolete: what it does is already so in {path} upstream.",
        hint=f"Delete {patch.source}.",
    )


def _invalid(message: str, path: str) -> DeployError:
    return DeployError(
        Code.PATCH_INVALID, message, hint=f"Lay a whole file over it instead: overrides/{path}."
    )
