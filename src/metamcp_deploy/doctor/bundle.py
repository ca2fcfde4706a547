"""`doctor --bundle`: all that a ticket needs in one zip file, masked by the tool's one redactor.

What cannot be collected is left out and said in `manifest.json`. Canaries stand in
every part before it is masked: where one survives, no file is written.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import platform
import secrets
import threading
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from metamcp_deploy import __version__, atomic
from metamcp_deploy.doctor.report import Report
from metamcp_deploy.doctor.subject import Subject
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.redaction import Redactor
from metamcp_deploy.target import ledger
from metamcp_deploy.target.site import Site

T = TypeVar("T")

MANIFEST = "manifest.json"
_SECONDS = 10.0  # for each part: what a check asked for is there already
_LIBRARIES = ("databricks-sdk", "requests", "psycopg", "websockets", "GitPython", "pydantic", "typer")
_WITHHELD = {
    "values of secrets": "only names of scopes and keys are collected",
    "values of the environment": "only names of variables are collected",
    "rows of MetaMCP's tables": "they hold users, keys and the secrets of MCP servers",
    "credentials and tokens": "the launcher's status names their ages alone",
}


@dataclass(frozen=True)
class Part:
    """One file of the bundle; without `text`, why there is none."""

    file: str
    text: str | None
    masked: int = 0
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Its row in the manifest."""
        if self.text is None:
            return {"file": self.file, "status": "missing", "reason": self.reason}
        size = len(self.text.encode())
        return {"file": self.file, "status": "collected", "bytes": size, "masked": self.masked}


def write(path: Path, report: Report, subject: Subject, redactor: Redactor) -> dict[str, Any]:
    """Writes the bundle; gives its manifest.

    Args:
        path: of the zip file; an existing file stays.
        report: of the checks.
        subject: that they looked at.
        redactor: knows the secrets of this run.

    Raises:
        DeployError: FILE_ACCESS, where the file exists or cannot be written; BUG, where a canary survived.
    """
    if path.exists():
        raise DeployError(Code.FILE_ACCESS, f"{path} exists.", hint="Name another file, or delete this one.")
    canaries = (f"dapi{secrets.token_hex(16)}", f"canary-{secrets.token_urlsafe(24)}")
    redactor.know([*canaries[1:], *_known(subject)])
    parts = [_masked(name, ask, redactor, canaries) for name, ask in _sources(report, subject).items()]
    manifest = {
        "format": 1,
        "tool": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "status": report.as_dict()["status"],
        "files": [part.as_dict() for part in parts],
        "masked": sum(part.masked for part in parts),
        "withheld": [{"what": what, "why": why} for what, why in _WITHHELD.items()],
    }
    content = {part.file: part.text for part in parts if part.text is not None}
    content[MANIFEST] = json.dumps(manifest, indent=2)
    packed = _packed(content)
    try:
        atomic.write(path, packed, 0o600)
    except OSError as e:
        raise DeployError(
            Code.FILE_ACCESS, f"{path} cannot be written: {e.strerror}.", hint="Name another file."
        ) from e
    return manifest


def _sources(report: Report, subject: Subject) -> Mapping[str, Callable[[], Any]]:
    """File → what gives its content: a text, or a value of JSON; None and errors mean that it is missing."""
    return {
        "report.json": report.as_dict,
        "versions.json": _versions,
        "variables.json": lambda: sorted(
            k for k in os.environ if k.startswith(("DATABRICKS_", "METAMCP_", "BUNDLE_"))
        ),
        "settings.json": lambda: subject.project().settings.model_dump(mode="json"),
        "app.json": lambda: subject.app().raw,
        "deployments.json": lambda: [
            one.raw for one in subject.workspace().apps.deployments(subject.app().name, 10)
        ],
        "ledger.json": lambda: _ledger(subject),
        "launcher.json": lambda: document.raw if (document := subject.inside()) else None,
        "database.json": lambda: _database(subject),
        "log.txt": lambda: "\n".join(
            f"{line.timestamp or ''} {line.source} {line.message}" for line in subject.log()
        ),
    }


def _masked(name: str, ask: Callable[[], Any], redactor: Redactor, canaries: tuple[str, ...]) -> Part:
    try:
        found = _within(_SECONDS, ask)
    except DeployError as e:
        return Part(name, None, reason=redactor.text(e.message))
    except Exception as e:
        return Part(name, None, reason=redactor.text(f"{type(e).__name__}: {e}")[:300])
    if found is None:
        return Part(name, None, reason="this login does not get it")
    before = redactor.masked
    if isinstance(found, str):
        lines = redactor.text("\n".join((found, *canaries))).split("\n")
        _hold_no_canary(name, "\n".join(lines), canaries)
        text = "\n".join(lines[: -len(canaries)])
    else:
        content = json.loads(json.dumps(found, default=_plain))
        masked = redactor.value({"canaries": list(canaries), "content": content})
        _hold_no_canary(name, json.dumps(masked, ensure_ascii=False), canaries)
        text = json.dumps(masked["content"], indent=2, ensure_ascii=False)
    return Part(name, text, max(0, redactor.masked - before - len(canaries)))


def _within(seconds: float, ask: Callable[[], T]) -> T:
    """What it gives, unless that takes longer; then the thread is left to itself."""
    done: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            done.append(ask())
        except BaseException as e:
            failed.append(e)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return done[0]


def _hold_no_canary(name: str, text: str, canaries: tuple[str, ...]) -> None:
    if any(canary in text for canary in canaries):
        raise DeployError(
            Code.BUG,
            f"The redactor let a made-up secret through in {name}: nothing was written.",
            hint="Report it, with what this prints: metamcp-deploy doctor -o json",
        )


def _packed(content: Mapping[str, str]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in content.items():
            file.writestr(name, text)
    return raw.getvalue()


def _known(subject: Subject) -> list[str]:
    """Secrets that this run came to know, besides those of its configuration."""
    try:
        return [subject.workspace().token()]
    except Exception:
        return []


def _versions() -> dict[str, Any]:
    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return {
        "metamcp-deploy": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def _ledger(subject: Subject) -> Any:
    where = subject.where()
    if not isinstance(where, Site):
        return None
    found = where.workspace.files.read(ledger.path_of(where.root))
    return json.loads(found) if found else None


def _database(subject: Subject) -> Any:
    subject.connection()
    return {
        "identity": subject.identity(),
        "schema": subject.schema(),
        "migrations": subject.migrations(),
        "activity": subject.activity(),
        "settings": subject.database_settings(),
    }


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
