"""What a patch is: one YAML file, data only. The package's are in `builtin/`, a user's in the folder of `patches:`.

    what: one line: what changes
    why: why this deployment needs it
    upstream: never | worth proposing | fixed in <ref>
    verified: what shows that it works
    files:
      apps/backend/src/index.ts:              # or a glob; each must exist
        unless_present: app.listen(process.env.$PORT)   # already so upstream: an error, "delete this patch"
        edits:
          address:                            # new text: templates/patches/<patch>/address.ts, or literally `text:`
            find: app.listen($PORT, $$$REST)  # an ast-grep pattern, or a mapping with one of its rules
            replace: PORT                     # only what this variable matched, instead of the whole match
            count: 1                          # exact, or {occurrences_of: <regex>} in the file

The id is the file's name. A user's patch with the id of one of the package's takes its place.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from metamcp_deploy import resources
from metamcp_deploy.errors import Code, DeployError

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Rule = Text | dict[str, Any]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Occurrences(_Model):
    """An expected count that the file itself gives, found another way than by syntax; never zero."""

    occurrences_of: Text

    @model_validator(mode="after")
    def _is_a_regex(self) -> Occurrences:
        try:
            re.compile(self.occurrences_of)
        except re.error as e:
            raise ValueError(f"occurrences_of is no regular expression: {e}") from e
        return self


class EditRule(_Model):
    """One kind of edit: what it finds, how often, what of it is replaced, and the new text unless a template has it."""

    find: Rule
    replace: Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")] | None = None
    count: Annotated[int, Field(ge=1)] | Occurrences = 1
    text: str | None = None


class Variant(_Model):
    """What a file looks like in some releases (`seen` says which) and its edits then, if there is anything to do."""

    seen: Text
    when: Rule
    edits: dict[Name, EditRule]


class FileRule(_Model):
    """What happens to one file, or to each that a glob names: edits, one of several variants, or `qualify` for SQL."""

    unless_present: Rule | None = None
    edits: dict[Name, EditRule] = Field(default_factory=dict)
    variants: dict[Name, Variant] = Field(default_factory=dict)
    statements: Literal["qualify"] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> FileRule:
        if sum(map(bool, (self.edits, self.variants, self.statements))) != 1:
            raise ValueError("give exactly one of edits, variants and statements")
        return self


class _Declared(_Model):
    what: Text
    why: Text
    upstream: Annotated[str, StringConstraints(pattern=r"^(never|worth proposing|fixed in \S+)$")]
    verified: Text
    files: dict[str, FileRule] = Field(min_length=1)

    @model_validator(mode="after")
    def _inside(self) -> _Declared:
        for path in self.files:
            parts = PurePosixPath(path)
            if parts.is_absolute() or ".." in parts.parts or ".git" in parts.parts or "\\" in path:
                raise ValueError(f"`{path}` is not a path inside the upstream tree")
        return self


class Patch(_Declared):
    """One named change. `source` is its file; `own` is False for a user's."""

    id: Name
    source: Path
    own: bool


def load(user_folder: Path | None = None) -> list[Patch]:
    """All patches, sorted by id.

    Raises:
        DeployError: PATCH_INVALID, with every problem of the file.
    """
    own = resources.PACKAGE / "patches" / "builtin"
    patches = {path.stem: _read(path, own=True) for path in _files(own)}
    if user_folder is not None:
        patches |= {path.stem: _read(path, own=False) for path in _files(user_folder)}
    return [patches[i] for i in sorted(patches)]


def _files(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    for path in found:
        if path.suffix != ".yaml" and path.name.lower() != "readme.md":
            raise _invalid(path, "is not a .yaml file; a patch is one")
    return [p for p in found if p.suffix == ".yaml"]


def _read(path: Path, *, own: bool) -> Patch:
    try:
        data = resources.parsed_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise _invalid(path, "is not YAML", detail=str(e)) from e
    if not isinstance(data, dict) or {"id", "source", "own"} & set(data):
        raise _invalid(
            path, "must be a mapping with what, why, upstream, verified and files; its name is its id"
        )
    try:
        return Patch.model_validate({**data, "id": path.stem, "source": path, "own": own})
    except ValidationError as e:
        problems = [f"{'.'.join(map(str, p['loc'])) or 'the patch'}: {p['msg']}" for p in e.errors()]
        raise _invalid(path, f"is not a patch: {problems[0]}", detail="\n".join(problems)) from e


def _invalid(path: Path, problem: str, detail: str | None = None) -> DeployError:
    return DeployError(
        Code.PATCH_INVALID,
        f"{path} {problem}.",
        hint=f"Correct or delete {path}. `metamcp-deploy patch --list` shows patches that are well-formed.",
        detail=detail,
    )
