"""Checks that a release starts, serves and ends, by its own answers."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metamcp_deploy import events
from metamcp_deploy.container.environment import PROXY_HEADER
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.verify import throwaway
from metamcp_deploy.verify.container import OPERATOR, Container

PATHS = ("/metamcp/health", "/metamcp", "/")  # the backend, its database, and a page of the front end
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0  # the launcher's own promise
_PAUSE = 0.02
_FRONTEND_UP = "frontend is up"  # the launcher's own line
_LEAVE_OUT = "`metamcp-deploy build --no-verify` builds without this check"


@dataclass(frozen=True)
class Proof:
    """What was proven of a release.

    Attributes:
        answered: paths that answered well; empty without a database, when only the front end could be started.
        database: which one, `PostgreSQL 16`; None without.
        seconds: from the start of the process until the last of the paths had answered.
        stopped: seconds from SIGTERM until nothing was left.
    """

    answered: tuple[str, ...]
    database: str | None
    seconds: float
    stopped: float


def verify(app: Path, node: Path) -> Proof:
    """Starts a release in a fresh folder until it is healthy, and stops it.

    Args:
        app: the files of the release, as they are sent.
        node: runs them; the platform's version, to be a proof of it.

    Raises:
        DeployError: RELEASE_UNHEALTHY, with the step that failed and the last lines of its log; POSTGRES_FAILED.
    """
    known = throwaway.available()
    with _folder() as folder, _database(folder, known) as variables:
        given = {"BETTER_AUTH_SECRET": secrets.token_urlsafe(32), **variables}
        began = time.monotonic()
        with Container(app, folder / "app", node, given) as container:
            answered = _come_up(container, PATHS) if known else _front_end_alone(container)
            seconds = time.monotonic() - began
            stopped = _end(container)
    return Proof(answered, known, round(seconds, 2), round(stopped, 2))


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="metamcp-verify-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def _database(folder: Path, known: str | None) -> Iterator[dict[str, str]]:
    if known:
        with throwaway.database() as variables:
            yield variables
    else:
        nowhere = {"PGHOST": str(folder), "PGDATABASE": "none", "PGUSER": "none", "PGPASSWORD": "none-at-all"}
        yield {**nowhere, "PGSSLMODE": "disable"}


def _come_up(container: Container, paths: tuple[str, ...]) -> tuple[str, ...]:
    import requests

    session = requests.Session()
    session.trust_env = False
    session.headers.update({"Accept": "application/json", PROXY_HEADER: container.secret})
    session.headers["X-Forwarded-Email"] = OPERATOR  # sees what failed
    deadline = time.monotonic() + _START_SECONDS
    for path in paths:
        events.emit(events.Progress(f"Verifying: {path}"))
        while not _answers(session, container, path):
            if not container.running:
                raise _unhealthy(container, f"its process ended with exit code {container.exit_code}")
            if time.monotonic() > deadline:
                raise _unhealthy(container, f"{path} did not answer within {_START_SECONDS:g} s")
            time.sleep(_PAUSE)
    return paths


def _answers(session: Any, container: Container, path: str) -> bool:
    """Whether a path answers well; False while the app starts.

    Raises:
        DeployError: RELEASE_UNHEALTHY, when it answers badly, or the launcher says that the start failed.
    """
    import requests

    try:
        answer = session.get(container.url + path, timeout=(1, 30))
    except requests.ConnectionError:
        return False
    except requests.RequestException as e:
        raise _unhealthy(container, f"{path} gave no answer ({type(e).__name__})") from e
    if answer.status_code == 200:
        return True
    said = _said(answer)
    if answer.status_code == 503 and said.get("status") == "starting":
        return False
    if said.get("step"):
        what = f"step `{said['step']}` failed ({said.get('code')}): {said.get('message')}"
        raise _unhealthy(container, what.rstrip("."), said.get("fix"))
    raise _unhealthy(container, f"{path} answered HTTP {answer.status_code}: {answer.text[:200]!r}")


def _said(answer: Any) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _front_end_alone(container: Container) -> tuple[str, ...]:
    """Without a database the launcher stops before the backend; until then it checked and unpacked all parts."""
    deadline = time.monotonic() + _START_SECONDS
    while _FRONTEND_UP not in container.log.read_text(errors="replace"):
        if not container.running:
            raise _unhealthy(container, f"its process ended with exit code {container.exit_code}")
        if time.monotonic() > deadline:
            raise _unhealthy(container, f"its front end did not come up within {_START_SECONDS:g} s")
        time.sleep(_PAUSE)
    return ()


def _end(container: Container) -> float:
    events.emit(events.Progress("Verifying: it ends"))
    took = container.stop(_STOP_SECONDS)
    if took is None:
        raise _unhealthy(container, f"it was still there {_STOP_SECONDS:g} s after SIGTERM")
    if container.exit_code != 0:
        raise _unhealthy(container, f"after SIGTERM it ended with exit code {container.exit_code}, not 0")
    if left := container.left():
        raise _unhealthy(container, f"after SIGTERM it left {len(left)} processes running")
    return took


def _unhealthy(container: Container, what: str, fix: str | None = None) -> DeployError:
    first = fix.rstrip(".") if fix else "`metamcp-deploy patch --diff` shows what differs from the upstream"
    return DeployError(
        Code.RELEASE_UNHEALTHY,
        f"The release was built, but it does not run: {what}.",
        hint=f"{first}; {_LEAVE_OUT}.",
        detail=container.last_lines() or None,
    )
