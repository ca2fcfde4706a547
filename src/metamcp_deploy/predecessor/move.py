"""The metamcp.yaml and the `.env` that go on with what the predecessor deployed, and where each value went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metamcp_deploy.config import predecessor, project
from metamcp_deploy.config.model import DEFAULT_REF, DEFAULT_URL
from metamcp_deploy.config.problems import DOTENV, FILE, masked
from metamcp_deploy.config.secret import Secret, weakness
from metamcp_deploy.errors import DeployError
from metamcp_deploy.predecessor.found import BUNDLE_FILE, MOVED, Deployed, Found
from metamcp_deploy.upstream import refs

_SECRET = "BETTER_AUTH_SECRET"  # noqa: S105 -- the name of one
_OTHERS = ("DATABRICKS_CONFIG_PROFILE", "METAMCP_REPO_URL", "METAMCP_REF", "TARGET")


@dataclass(frozen=True)
class Line:
    """One value: where it stood, where it stands now (empty for nowhere), and what to know about it."""

    source: str
    to: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.source} → {self.to or 'no counterpart'}" + (f": {self.note}" if self.note else "")


@dataclass(frozen=True)
class Move:
    """What is written, and what is said about it; `steps` are commands for a person, in order."""

    written: tuple[Path, ...]
    lines: tuple[Line, ...]
    steps: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        lines = [asdict(line) for line in self.lines]
        return {"written": [str(path) for path in self.written], "lines": lines, "steps": list(self.steps)}

    def text(self) -> str:
        """For people."""
        said = [
            *map(str, self.written),
            "",
            *map(str, self.lines),
            "",
            "Next:",
            *(f"  {step}" for step in self.steps),
        ]
        return "\n".join(said)


def write(found: Found, folder: Path, force: bool) -> Move:
    """Writes metamcp.yaml, and `.env` with the values that went there as comments.

    Raises:
        DeployError: CONFIG_EXISTS, with nothing written; FILE_ACCESS.
    """
    dotenv = folder / DOTENV
    files = {folder / FILE: _document(found), **({dotenv: _commented(found)} if found.text else {})}
    updated = dotenv if folder == found.folder else None
    written = project.write(files, "metamcp-deploy init --from-predecessor", force=force, updated=updated)
    return Move(tuple(written), tuple(_lines(found)), tuple(_steps(found)))


def _kept(found: Found) -> list[Deployed]:
    return [one for one in found.deployed if one.database is not None]


def _stated(found: Found, name: str) -> str:
    return found.variables[name].value.strip() if name in found.variables else ""


def _default(found: Found) -> str:
    names = [one.target for one in _kept(found)]
    wanted = _stated(found, "TARGET")
    return wanted if wanted in names else names[0]


def _ref(found: Found) -> tuple[str, str]:
    """The ref to state, and what to know about it."""
    ref = _stated(found, "METAMCP_REF")
    forward = f"{DEFAULT_REF} is stated. Its migrations run at the first start, and only go forward"
    if not ref:
        return DEFAULT_REF, f"the predecessor took the highest tag at each start; {forward}"
    try:
        refs.check(ref)
    except DeployError as e:
        return DEFAULT_REF, f"{e.message} {forward}"
    return ref, ""


def _document(found: Found) -> str:
    import yaml

    upstream = {"ref": _ref(found)[0]}
    if (url := _stated(found, "METAMCP_REPO_URL")) not in ("", DEFAULT_URL):
        upstream["url"] = url
    app: dict[str, Any] = {"operators": [found.me]} if "@" in found.me else {}
    if found.bundle.permissions:
        app["permissions"] = list(found.bundle.permissions)
    document = {
        "version": 1,
        "upstream": upstream,
        **({"app": app} if app else {}),
        "targets": {one.target: _target(found, one) for one in _kept(found)},
        "default_target": _default(found),
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return (
        f"# Of `metamcp-deploy init --from-predecessor`; plain `metamcp-deploy init` shows all keys.\n{text}"
    )


def _target(found: Found, one: Deployed) -> dict[str, Any]:
    """The section of a target: what the app has already is stated, so that no deployment changes it."""
    app: dict[str, Any] = {"name": one.names["APP_NAME"]}
    if one.app is not None:
        stated = {key: one.app.raw.get(key) for key in ("description", "compute_size")}
        app |= {key: value for key, value in stated.items() if value and value != "MEDIUM"}
    workspace = {"host": found.host}
    if profile := _stated(found, "DATABRICKS_CONFIG_PROFILE"):
        workspace["profile"] = profile
    return {
        "app": app,
        **({"database": one.database} if one.database else {}),
        **({"secrets": {"scope": one.scope}} if one.scope else {}),
        "workspace": workspace,
    }


def _moved(found: Found) -> set[str]:
    """Variables that no longer count in `.env`."""
    names = {*predecessor.NAMES, *_OTHERS}
    if _SECRET in found.variables and weakness(Secret(found.variables[_SECRET].value)):
        names.add(_SECRET)
    return names & set(found.variables)


def _commented(found: Found) -> str:
    numbers = {found.variables[name].origin.line for name in _moved(found)}
    lines = found.text.splitlines()
    kept = (
        line if number not in numbers or line.startswith(MOVED) else MOVED + line
        for number, line in enumerate(lines, 1)
    )
    return "\n".join(kept) + "\n"


def _lines(found: Found) -> Iterator[Line]:
    """Where each value went, file by file, then what the workspace shows."""
    for name, variable in found.variables.items():
        yield _of_variable(found, name, str(variable.origin))
    for name in sorted({*predecessor.NAMES, "METAMCP_REF"} - set(found.variables)):
        of = _of_variable(found, name, f"{name} (the Makefile's default)")
        yield of
    for key in found.bundle.keys:
        yield Line(
            f"{BUNDLE_FILE} {key}", "targets.*", "made here from metamcp.yaml; the old file is no longer used"
        )
    for kind in found.bundle.others:
        yield Line(f"{BUNDLE_FILE} {kind}", "", "stays with `databricks bundle`")
    if found.bundle.permissions:
        yield Line(f"{BUNDLE_FILE} permissions", "app.permissions")
    for one in found.deployed:
        yield from _of_target(one)
    yield Line(
        "open sign-up",
        "app.sign_up",
        "only operators make accounts now; `users` for everybody who opens the app",
    )


def _holder(found: Found) -> str:
    """The setting that holds what LAKEBASE_INSTANCE_NAME did: of a project or an instance, by what the apps use."""
    kinds = {
        "database.instance" if "instance" in (one.database or {}) else "database.project"
        for one in _kept(found)
    }
    return " or ".join(sorted(kinds))


def _of_variable(found: Found, name: str, source: str) -> Line:
    kept = [one.target for one in _kept(found)]
    if name in predecessor.NAMES:
        key = {"APP_NAME": "app.name", "LAKEBASE_INSTANCE_NAME": _holder(found)}.get(name, "database.name")
        named = ", ".join(f"{one.names[name]} for {one.target}" for one in _kept(found))
        return Line(source, f"{key} of {' and '.join(kept)}", named)
    if name == "METAMCP_REF":
        return Line(source, f"upstream.ref: {_ref(found)[0]}", _ref(found)[1])
    if name == "METAMCP_REPO_URL":
        return Line(source, f"upstream.url: {masked(_stated(found, name))}")
    if name == "DATABRICKS_CONFIG_PROFILE":
        return Line(source, "workspace.profile", f"of each target, with its workspace.host: {found.host}")
    if name == "TARGET":
        return Line(source, f"default_target: {_default(found)}")
    if name == _SECRET:
        wrong = weakness(Secret(found.variables[name].value))
        if wrong:
            return Line(source, "", f"it {wrong}; a new one is made, and everybody signs in again once")
        return Line(source, "the secret scope", "stored at the first deployment; then take it out of .env")
    if name.startswith("OIDC_"):
        return Line(
            source, "", f"it never reached the app; app.env.{name} would, a secret as {{secret: {name}}}"
        )
    return Line(source, "", "left in .env")


def _of_target(one: Deployed) -> Iterator[Line]:
    named = one.names["APP_NAME"]
    if one.database is None:
        yield Line(f"target {one.target}", "", f"there is no app {named}, and no instance")
        return
    if one.app is None:
        yield Line(
            f"app {named}", f"targets.{one.target}", "it is not there, and would be made; its instance stays"
        )
        return
    yield Line(
        f"app {named}",
        f"targets.{one.target}",
        f"adopted; it keeps its URL {one.app.url}, its principal and its data",
    )
    wanted = (one.names["LAKEBASE_INSTANCE_NAME"], one.names["LAKEBASE_DATABASE_NAME"])
    database = one.database
    used = (database.get("instance"), database.get("name"))
    note = "" if used == wanted else f"what the app uses counts, not {' and '.join(wanted)}"
    for resource in one.app.resources:
        # Only the database's may name another thing than `.env` does.
        told = note if {"database", "postgres"} & set(resource) else ""
        yield Line(
            f"resource {resource['name']} of {named}", "stays, behind the resources of this tool", told
        )


def _steps(found: Found) -> Iterator[str]:
    profile = _stated(found, "DATABRICKS_CONFIG_PROFILE")
    for one in _kept(found):
        if one.state:
            yield f"# {one.state} manages the same app: hand it over, in {found.folder}"
            for key in found.bundle.keys or ("metamcp_app", "metamcp_lakebase"):
                named = f" -p {profile}" if profile else ""
                yield f"databricks bundle deployment unbind {key} -t {one.target}{named}"
    for one in _kept(found):
        yield f"metamcp-deploy plan -t {one.target}"
    adopted = any(one.app and one.app.raw.get("creator") != found.me for one in _kept(found))
    others = " --adopt  # made by somebody else, who should agree" if adopted else ""
    yield f"metamcp-deploy deploy -t {_default(found)}{others}"
