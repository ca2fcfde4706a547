"""`doctor --bundle`: what is in it, that no planted secret is, and that nothing is written where masking fails."""

from __future__ import annotations

import json
import secrets
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from metamcp_deploy import doctor, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.deployments import start_stop
from metamcp_deploy.doctor import bundle
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.redaction import Redactor
from metamcp_deploy.target import session
from tests.deploy.tiny_app import with_app

Deploy = Callable[..., pipeline.Facts]


def written(project: Project, path: Path, redactor: Redactor | None = None) -> dict[str, str]:
    with doctor.examined(lambda: project, stretch=6) as (report, subject):
        bundle.write(path, report, subject, redactor or Redactor())
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name).decode() for name in file.namelist()}


def test_it_holds_what_a_ticket_needs_and_says_what_it_lacks(
    project: Project, deployed: Deploy, tmp_path: Path
) -> None:
    facts = deployed(project)
    path = tmp_path / "out.zip"
    files = written(project, path)
    manifest = json.loads(files[bundle.MANIFEST])
    rows = {row["file"]: row for row in manifest["files"]}
    assert rows["launcher.json"]["status"] == "missing"  # the tiny app has no launcher
    collected = {name for name, row in rows.items() if row["status"] == "collected"}
    assert collected == set(files) - {bundle.MANIFEST} == set(rows) - {"launcher.json"}
    assert json.loads(files["app.json"])["name"] == project.settings.app.name
    assert facts["deployment"] in files["deployments.json"]
    assert "tiny app listens" in files["log.txt"]
    assert json.loads(files["report.json"])["status"] == "ok"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(DeployError, match="exists"):
        written(project, path)


def test_it_is_partial_where_the_app_is_stopped(project: Project, deployed: Deploy, tmp_path: Path) -> None:
    deployed(project)
    start_stop.stop(session.site(project))
    files = written(project, tmp_path / "out.zip")
    rows = {row["file"]: row for row in json.loads(files[bundle.MANIFEST])["files"]}
    assert rows["log.txt"]["status"] == "missing"
    assert "without compute" in rows["log.txt"]["reason"]
    assert rows["app.json"]["status"] == rows["database.json"]["status"] == "collected"


def test_no_planted_secret_is_in_it(project: Project, deployed: Deploy, tmp_path: Path) -> None:
    """In the configuration's environment, its URLs, the app's description, and values that the run knows."""
    planted = [secrets.token_hex(16) for _ in range(100)]
    named = {f"PART_{n}_{kind}": value for n, value in enumerate(planted[:60]) for kind in (_KINDS[n % 4],)}
    tokens = [f"dapi{value}" for value in planted[60:70]] + [f"sk_mt_{value}" for value in planted[70:80]]
    proxy = f"http://who:{planted[80]}@127.0.0.1:9"
    known = planted[81:]
    wanted = with_app(project, env={**named, "NOTE": " ".join(tokens)}, contact=f"see {known[0]}")
    wanted = replace(wanted, secrets={f"K{n}": Secret(value) for n, value in enumerate(known)})
    deployed(wanted)
    settings = wanted.settings
    wanted = replace(
        wanted,
        settings=settings.model_copy(
            update={"network": settings.network.model_copy(update={"no_proxy": proxy})}
        ),
    )
    files = written(wanted, tmp_path / "out.zip", Redactor(known))
    whole = "\n".join(files.values())
    assert [value for value in planted if value in whole] == []
    assert json.loads(files[bundle.MANIFEST])["masked"] >= 80


_KINDS = ("SECRET", "API_KEY", "PASSWORD", "TOKEN")


def test_nothing_is_written_where_the_redactor_fails(
    project: Project, deployed: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(project)
    monkeypatch.setattr(Redactor, "text", lambda self, text: text)
    path = tmp_path / "out.zip"
    with pytest.raises(DeployError, match="nothing was written") as caught:
        written(project, path)
    assert caught.value.code is Code.BUG
    assert list(tmp_path.iterdir()) == []
