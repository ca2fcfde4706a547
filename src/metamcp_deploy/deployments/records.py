"""Records of deployments, `<root>/deployments/<time>-<id>.json`: what ran where with which settings.

The platform forgets a deployment's environment, so that a rollback needs it from here.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from metamcp_deploy import __version__, events, resources
from metamcp_deploy.config.project import Project
from metamcp_deploy.deployments import provenance
from metamcp_deploy.target import signing

if TYPE_CHECKING:
    from metamcp_deploy.target.site import Site
    from metamcp_deploy.workspace import Workspace

_AGREE_SECONDS = 2.0
_MOMENT = re.compile(r"[0-9T:.Z+-]+")
_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("deployment", "at", "kind", "by", "of", "outcome", "release", "source_code_path"), str),
    **dict.fromkeys(("message", "pipeline", "error"), str),
    **dict.fromkeys(("upstream", "configuration", "restored", "secrets"), dict),
    **dict.fromkeys(("env", "resources", "migrations"), list),
}
LOOKED_AT = 50  # of the newest records, where not all are needed


@dataclass(frozen=True)
class Wanted:
    """What a deployment runs; two that are equal need no second one.

    Attributes:
        release: id.
        source_code_path: where the release is.
        env: the complete environment; secrets stand in it as the names of resources only.
        resources: the app's resources; the platform injects their values when a process starts.
        secrets: key of the scope → when its value was last written, in milliseconds since the epoch.
    """

    release: str
    source_code_path: str
    env: list[dict[str, str]]
    resources: list[dict[str, Any]]
    secrets: dict[str, int]


@dataclass(frozen=True)
class Record:
    """A record as it is kept; what an older one lacks is empty or None.

    Attributes:
        path: of the file in the workspace.
        raw: its content, at least `deployment` and `at`.
        signed: whether its signature is valid; one of an older version, or of whoever may write there, is not.
    """

    path: str
    raw: Mapping[str, Any]
    signed: bool = True

    @property
    def deployment(self) -> str:
        """Id of the deployment, as the platform gave it; of a `destroy`, one of this tool."""
        return str(self.raw["deployment"])

    @property
    def at(self) -> str:
        """When it began, as ISO 8601 on the workspace's clock."""
        return str(self.raw["at"])

    @property
    def kind(self) -> str:
        """`deploy`, `rollback` or `destroy`."""
        return str(self.raw.get("kind") or "deploy")

    @property
    def of(self) -> str | None:
        """The deployment that a rollback repeats."""
        return self.raw.get("of")

    @property
    def outcome(self) -> str:
        """IN_PROGRESS, SUCCEEDED, FAILED, or UNHEALTHY where it ran and did not serve."""
        return str(self.raw.get("outcome") or "")

    @property
    def release(self) -> str:
        """Id of the release; empty for a `destroy`."""
        return str(self.raw.get("release") or "")

    @property
    def pin(self) -> str | None:
        """The upstream's ref that the release was built from."""
        return (self.raw.get("upstream") or {}).get("ref")

    @property
    def resources(self) -> list[dict[str, Any]]:
        """The app's resources that it ran with."""
        return list(self.raw.get("resources") or [])

    @property
    def migrations(self) -> tuple[str, ...] | None:
        """Names of the migrations that its release holds, in their order; None where that was not kept."""
        names = self.raw.get("migrations")
        return None if names is None else tuple(names)

    @property
    def wanted(self) -> Wanted:
        """What it ran.

        Raises:
            KeyError: it is no record of a deployment.
        """
        return Wanted(**{name: self.raw[name] for name in Wanted.__dataclass_fields__})


def matches(record: Record | None, wanted: Wanted) -> bool:
    """Whether the deployment of this record ran just that."""
    return record is not None and all(record.raw.get(k) == v for k, v in asdict(wanted).items())


def proves(site: Site, record: Record) -> bool:
    """Whether a record is believed about what runs: an unsigned one only where the target has no key that signs."""
    return record.signed or not signing.of(site).strict


def draft(
    project: Project,
    workspace: Workspace,
    wanted: Wanted,
    about: Mapping[str, Any],
    *,
    kind: str = "deploy",
    message: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The record of a deployment that is about to begin; `of` completes it.

    Args:
        project: with the target's settings.
        workspace: logged in.
        wanted: what it runs.
        about: release.json of the release, with its pin and its migrations.
        kind: `deploy` or `rollback`.
        message: of the user.
        more: further fields, such as `of` (the deployment that a rollback repeats).
    """
    return {
        **heading(project, workspace, kind),
        **asdict(wanted),
        "upstream": about.get("upstream"),
        "migrations": journal(about),
        "migrations_at": None,
        "configuration": provenance.configuration(project),
        "pipeline": provenance.pipeline_url(os.environ),
        "message": message,
        "outcome": "IN_PROGRESS",
        **(more or {}),
    }


def heading(project: Project, workspace: Workspace, kind: str, deployment: str = "") -> dict[str, Any]:
    """What every record begins with: what was done when, by whom and where."""
    return {
        "format": 1,
        "kind": kind,
        "deployment": deployment,
        "at": stamp(now(workspace)),
        "by": workspace.me,
        "tool": __version__,
        "host": workspace.host,
        "target": project.settings.target,
        "app": project.settings.app.name,
    }


def journal(about: Mapping[str, Any]) -> list[str] | None:
    """Names of a release's migrations, by its release.json; None where that has none."""
    found: list[str] | None = about.get("parts", {}).get("migrations", {}).get("journal")
    return found


def now(workspace: Workspace) -> float:
    """Seconds since the epoch, on the clock that orders the records of several machines: the workspace's.

    Its answers date themselves to the second; this machine's is finer, and is taken where the two agree.
    """
    ours, theirs = time.time(), workspace.files.time()
    return ours if theirs is None or abs(theirs - ours) <= _AGREE_SECONDS else theirs


def stamp(seconds: float) -> str:
    """A moment, in seconds since the epoch, as the API spells it (RFC 3339, UTC)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def of(draft: Mapping[str, Any], deployment: str, begun: float | None) -> dict[str, Any]:
    """A draft once its deployment has an id.

    Args:
        draft: of the record.
        deployment: id.
        begun: when the platform took the deployment on, in seconds on the workspace's clock: no migration of it ran
            before, so a copy of the database as of then is without them.
    """
    return {**draft, "deployment": deployment, "migrations_at": None if begun is None else stamp(begun)}


def has(site: Site, draft: Mapping[str, Any]) -> bool:
    """Whether the draft's deployment is recorded: nothing else of a target began in the same moment."""
    return any(name.startswith(f"{_time(draft)}-") for name in _names(site))


def path_of(root: str, record: Mapping[str, Any]) -> str:
    """Where a record belongs."""
    return f"{root}/deployments/{_time(record)}-{record['deployment']}.json"


def _time(record: Mapping[str, Any]) -> str:
    """What a record's name begins with."""
    return str(record["at"]).replace("-", "").replace(":", "")


def write(site: Site, record: Mapping[str, Any], *, again: bool = False) -> Record:
    """Writes a record, signed, over its earlier version. `again`: there is one, and so the folder."""
    path = path_of(site.root, record)
    if not again:
        site.workspace.files.make_folder(f"{site.root}/deployments")
    signing.write(site, path, record)
    return Record(path, record)


def amend(site: Site, record: Record, **fields: Any) -> Record:
    """The record with other fields, in the workspace, too; one that was not signed is not signed now."""
    raw = {**record.raw, **fields}
    signing.write_as_read(site, record.path, raw, record.signed)
    return replace(record, raw=raw)


def amend_by_id(site: Site, deployment: str, **fields: Any) -> None:
    """As `amend`, of the record of a deployment; nothing without one."""
    if found := find(site, deployment):
        amend(site, found, **fields)


def find(site: Site, deployment: str) -> Record | None:
    """The record of a deployment, a signed one first; None when this tool did not make it (or it is broken)."""
    found = _read(site, [name for name in _names(site) if name.endswith(f"-{deployment}.json")])
    return next((record for record in found if record.signed), next(iter(found), None))


def newest(site: Site, count: int | None = None) -> list[Record]:
    """The records of a target, newest first; all of them, or so many. An unreadable one is left out with a warning."""
    return _read(site, _names(site)[:count])


def counted(site: Site) -> tuple[int, Record | None]:
    """How many records a target has, and the newest of them."""
    names = _names(site)
    return len(names), next(iter(_read(site, names[:1])), None)


def paths(site: Site) -> list[str]:
    """Of all records."""
    return [f"{site.root}/deployments/{name}" for name in _names(site)]


def _names(site: Site) -> list[str]:
    """Their names begin with the time."""
    entries = site.workspace.files.entries(f"{site.root}/deployments")
    return sorted((name for name in entries if name.endswith(".json")), reverse=True)


def checked(raw: Any) -> dict[str, Any]:
    """A record, or a draft of one, that others may have written: each field that is read has its type.

    Raises:
        KeyError, TypeError, ValueError: it is none. `at` is part of a path.
    """
    if wrong := [n for n, kind in _TYPES.items() if not isinstance(raw.get(n), kind | None)]:
        raise TypeError(f"{wrong[0]} is no {_TYPES[wrong[0]].__name__}")
    if not _MOMENT.fullmatch(raw["at"]):
        raise ValueError("at is no moment")
    return {**raw, "deployment": raw["deployment"]}


def _read(site: Site, names: Iterable[str]) -> list[Record]:
    found = []
    files = site.workspace.files
    for path, content in files.contents([f"{site.root}/deployments/{name}" for name in names]).items():
        try:
            raw = resources.parsed_json(content or b"")
            kept = checked(raw)
            found.append(Record(path, kept, signing.verified(site, path, kept)))
        except (ValueError, KeyError, TypeError, AttributeError):
            events.emit(events.Warned(f"{path} is not a record of a deployment: it is left out."))
    return found
