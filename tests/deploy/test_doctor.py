"""`doctor` over failures provoked in the embedded workspace: the cause first, and nothing that follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import requests

from metamcp_deploy import doctor, local, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.deployments import start_stop
from metamcp_deploy.doctor.finding import Level
from metamcp_deploy.doctor.report import Report, schema
from metamcp_deploy.errors import DeployError
from metamcp_deploy.local import faults
from metamcp_deploy.local.faults import presets
from metamcp_deploy.target import session
from metamcp_deploy.target.databases import Autoscaling, attached
from tests import commands
from tests.deploy.tiny_app import with_app
from tests.local.embedded_world import World

Deploy = Callable[..., pipeline.Facts]


@pytest.fixture
def running(base: Project) -> local.Running:
    return local.up(base)


def look(project: Project) -> Report:
    report = doctor.look(lambda: project, stretch=6)
    jsonschema.validate(report.as_dict(), schema())
    return report


def named(project: Project) -> list[str]:
    return [finding.id for finding in look(project).findings if finding.level is not Level.NOTE]


def on_call(project: Project, home: Path) -> None:
    """Gives the home a profile `oncall` for the embedded workspace."""
    about = json.loads((project.local / "workspace.json").read_text())
    profile = (
        f"host = {about['url']}\nclient_id = {about['client_id']}\nclient_secret = {about['client_secret']}\n"
    )
    (home / ".databrickscfg").write_text(f"[oncall]\n{profile}")


def test_a_healthy_app_has_no_finding(project: Project, deployed: Deploy) -> None:
    deployed(project)
    report = look(project)
    assert report.findings == []
    assert [outcome.skipped for outcome in report.outcomes if outcome.skipped] == []
    bare = replace(project, bare=True)
    assert look(bare).findings == []


def test_a_stopped_app_and_the_command_that_starts_it(project: Project, deployed: Deploy) -> None:
    deployed(project)
    site = session.site(project)
    start_stop.stop(site)
    report = look(project)
    (finding,) = report.findings
    assert finding.id == "stopped"
    assert "compute STOPPED" in finding.evidence[0]
    assert finding.fix[0].run == f"metamcp-deploy start -t {project.settings.target}"
    skipped = {outcome.check.id: outcome.skipped for outcome in report.outcomes if outcome.skipped}
    assert skipped["launcher"] == "follows from stopped"
    start_stop.start(site, 30)
    assert named(project) == []


def test_no_app(project: Project) -> None:
    (finding,) = look(project).findings
    assert finding.id == "not-found"
    assert project.settings.app.name in finding.summary


def test_nothing_was_deployed(project: Project, bundled: Deploy) -> None:
    bundled(project)
    assert named(project)[-1:] == ["not-deployed"]


def test_two_causes_at_once(project: Project, deployed: Deploy) -> None:
    """A secret that is gone, and a database: both, though the app itself still runs."""
    deployed(project)
    site, name = session.site(project), project.settings.app.name
    site.workspace.secrets.delete(name, "BETTER_AUTH_SECRET")
    database = attached(site.workspace.apps.get(name).resources)
    assert isinstance(database, Autoscaling)
    site.workspace.lakebase.delete(database.project, 60)
    report = look(project)
    assert [finding.id for finding in report.findings] == ["secret-gone", "database-gone"]
    gone = report.findings[1]
    assert database.project in gone.summary
    assert gone.evidence == (f"GET /api/2.0/postgres/{database.project}: not found",)


def test_a_resource_that_somebody_removed(project: Project, deployed: Deploy) -> None:
    deployed(project)
    workspace, name = session.site(project).workspace, project.settings.app.name
    kept = [resource for resource in workspace.apps.get(name).resources if "secret" in resource]
    workspace.apps.update(name, {"resources": kept})
    World.until(lambda: len(workspace.apps.get(name).resources) == len(kept))
    (finding,) = look(project).findings
    assert finding.id == "resource-missing"
    assert any("settings: database" in line or "not there" in line for line in finding.evidence)


def test_the_log_names_the_cause(project: Project, deployed: Deploy) -> None:
    deployed(with_app(project, env={"MODE": "revoked"}))
    (finding,) = look(project).findings
    assert finding.id == "table-denied"
    assert "permission denied for table endpoints" in " ".join(finding.evidence)


def test_the_launchers_code_names_the_cause(project: Project, deployed: Deploy) -> None:
    deployed(with_app(project, env={"MODE": "given-up"}))
    (finding,) = look(project).findings
    assert finding.id == "unpack-failed"
    assert "step migrate" in finding.evidence[0]


def test_a_crash(project: Project, deployed: Deploy) -> None:
    url = deployed(project)["url"]
    site = session.site(project)
    with suppress(requests.exceptions.ConnectionError):
        requests.get(f"{url}/die", headers=site.workspace.app_headers(), timeout=10)
    World.until(lambda: site.workspace.apps.get(project.settings.app.name).state == "CRASHED")
    assert named(project) == ["crashed"]


def test_an_empty_secret_is_named_after_the_next_start(project: Project, deployed: Deploy) -> None:
    deployed(project)
    site, name = session.site(project), project.settings.app.name
    site.workspace.secrets.put(name, "BETTER_AUTH_SECRET", Secret(""))
    start_stop.stop(site)
    with suppress(DeployError):
        start_stop.start(site, 10)
    assert named(project) == ["secret-empty"]


@pytest.mark.parametrize(
    ("fault", "id_"),
    [("workspace-hangs", "workspace-unreachable"), ("ip-blocked", "address-refused")],
)
def test_a_workspace_that_fails(
    project: Project, deployed: Deploy, running: local.Running, fault: str, id_: str
) -> None:
    deployed(project)
    faults.add(running, presets.chosen(fault, {}))
    try:
        report = look(project)
    finally:
        faults.clear(running)
    assert [finding.id for finding in report.findings] == [id_]


def test_the_command_without_a_folder(
    project: Project, deployed: Deploy, isolated: Path, folder: Path
) -> None:
    deployed(project)
    on_call(project, isolated)
    options = ["--app", project.settings.app.name, "-p", "oncall"]
    well = commands.run("doctor", *options, folder=folder)
    assert (well.returncode, "found nothing" in well.stdout) == (0, True), well.stderr
    assert commands.run("stop", *options, folder=folder).returncode == 0
    broken = commands.run("doctor", *options, "-o", "json", folder=folder)
    document = json.loads(broken.stdout)
    jsonschema.validate(document, schema())
    assert (broken.returncode, document["status"]) == (1, "error")
    (row,) = [row for row in document["checks"] if row["status"] == "error"]
    assert row["fix"][0]["run"] == f"metamcp-deploy start --app {project.settings.app.name} -p oncall"
    assert commands.run("doctor", *options, "--fail-on", "never", folder=folder).returncode == 0
    assert commands.run("doctor", *options, "--only", "nonsense", folder=folder).returncode == 2
    offline = commands.run("doctor", "--offline", *options, folder=folder)
    assert (offline.returncode, "1 checks" in offline.stdout) == (0, True)


def test_a_repair_is_run_after_asking_and_the_app_is_well(
    project: Project, deployed: Deploy, isolated: Path, folder: Path
) -> None:
    deployed(project)
    start_stop.stop(session.site(project))
    on_call(project, isolated)
    options = ["--app", project.settings.app.name, "-p", "oncall"]
    refused = commands.run("doctor", *options, "--fix", folder=folder)
    assert (refused.returncode, "--auto-approve" in refused.stderr) == (2, True)
    done = commands.run("doctor", *options, "--fix", "--auto-approve", folder=folder)
    assert (done.returncode, "found nothing" in done.stdout) == (0, True), done.stderr
    assert f"metamcp-deploy start --app {project.settings.app.name} -p oncall" in done.stderr
    again = commands.run("doctor", *options, "--fix", "--auto-approve", folder=folder)
    assert (again.returncode, "Nothing here has a repair" in again.stderr) == (0, True)


def test_a_configuration_before_anything_is_deployed_with_it(
    project: Project, isolated: Path, folder: Path
) -> None:
    on_call(project, isolated)
    about = json.loads((project.local / "workspace.json").read_text())
    (folder / "metamcp.yaml").write_text(
        f"app: {{name: new-{project.settings.app.name}}}\n"
        f"targets: {{dev: {{workspace: {{host: '{about['url']}', profile: oncall}}}}}}\ndefault_target: dev\n"
    )
    well = commands.run("doctor", "-f", "metamcp.yaml", "-o", "json", folder=folder)
    document = json.loads(well.stdout)
    assert well.returncode == 0, document
    assert document["status"] in ("ok", "note")  # what only an attempt can show is a note
    assert {row["category"] for row in document["checks"]} == {
        "configuration",
        "login",
        "workspace",
        "preflight",
    }
    wrong = commands.run("doctor", "-f", "other.yaml", folder=folder)
    assert (wrong.returncode, "not called metamcp.yaml" in wrong.stderr) == (2, True)
    (folder / "metamcp.yaml").write_text("app: {nmae: x}\n")
    broken = commands.run("doctor", "-f", "metamcp.yaml", "--offline", folder=folder)
    assert (broken.returncode, "[config-invalid]" in broken.stdout) == (1, True), broken.stdout
