"""`health`: deep checks through what a client meets, and the forms for monitoring."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable

import pytest

from metamcp_deploy import pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.deployments import access, start_stop
from metamcp_deploy.health import Status
from metamcp_deploy.target import session
from metamcp_deploy.workspace.logs import Logs
from tests import commands
from tests.deploy.tiny_app import APP, with_app, write_bundle

Deploy = Callable[..., pipeline.Facts]
# Three endpoints as MetaMCP's are met by a client: one that serves, one that asks for a key, one that fails.
ENDPOINTS = """\
  const [, endpoint] = request.url.match(/^\\/metamcp\\/(\\w+)\\/mcp$/) ?? [];
  if (request.url === "/metamcp")
    return json(response, 200, { endpoints: ["tools", "locked", "broken"].map((name) => ({ name })) });
  if (endpoint === "locked") return json(response, 401, { error: "a key is needed" });
  if (endpoint === "broken") return json(response, 500, { error: "no server" });
  if (endpoint && request.method === "DELETE") return console.log("session ended"), json(response, 200, {});
  if (endpoint) return request.on("data", (body) => {
    const { id, method } = JSON.parse(body);
    if (!id) return response.writeHead(202).end();
    const answer = (result) => ({ jsonrpc: "2.0", id, result });
    if (method === "initialize") return json(response, 200, answer({}), { "mcp-session-id": "s1" });
    if (request.headers["mcp-session-id"] !== "s1") return json(response, 400, {});
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(`event: message\\ndata: ${JSON.stringify(answer({ tools: [{}, {}, {}] }))}\\n\\n`);
  });
  if (request.url === "/login") return response.writeHead(307, { location: "/en/login" }).end();
  if (request.url === "/en/login") return response.writeHead(200, { "content-type": "text/html" }).end("<p>Sign in");
"""
CLIENT = APP.replace(
    '  if (request.url === "/metamcp/health")', f'{ENDPOINTS}  if (request.url === "/metamcp/health")'
)


def health(project: Project, words: str) -> tuple[int, str]:
    commands.write_target(project)
    done = commands.run("health", *shlex.split(words), folder=project.folder)
    return done.returncode, done.stdout


@pytest.fixture(autouse=True)
def no_configuration_stays(project: Project) -> object:
    yield
    (project.folder / "metamcp.yaml").unlink(missing_ok=True)


def test_deep(project: Project, deployed: Deploy) -> None:
    write_bundle(project, CLIENT)
    deployed(project)
    assert access.healthy(project, 10).status is Status.HEALTHY
    code, said = health(project, "--deep -o json")
    document = json.loads(said)
    lines = {line["name"]: (line["state"], line["summary"]) for line in document["deep"]}
    assert (code, document["status"]) == (1, "healthy"), "one endpoint fails"
    assert lines["endpoint tools"] == ("ok", "3 tools")
    assert lines["endpoint locked"] == ("ok", "401: it asks for a key")
    assert lines["endpoint broken"][0] == "critical"
    assert lines["page"] == ("ok", "200 GET /en/login, 10 bytes")
    assert lines["migrations"] == ("ok", "0 applied; those of the release are not known")
    assert lines["pool"][0] == "ok"
    assert lines["credential"] == ("unknown", "the launcher does not tell it this login")
    lines_of_log = Logs(session.connect(project), project.settings.app.name).lines(last=50)
    log = "\n".join(line.message for line in lines_of_log)
    assert log.count("session ended") == 1
    code, said = health(project, "--deep --format nagios")
    assert (code, said.startswith("METAMCP CRITICAL - ")) == (2, True)
    assert "endpoint broken: 500" in said
    assert "'endpoint_tools_tools'=3;;;0" in said.partition(" | ")[2]
    code, said = health(project, "--deep --format prometheus")
    assert code == 0
    assert f'metamcp_up{{app="{project.settings.app.name}",target="local"}} 1' in said.splitlines()
    assert re.search(r'^metamcp_check_state\{.*check="endpoint broken"\} 2$', said, re.MULTILINE)
    named = re.compile(r'(# (HELP|TYPE) .*|[a-z_]+\{([a-z_]+="[^"\n]*",?)+\} [-+\d.e]+)')
    assert all(named.fullmatch(line) for line in said.splitlines())


def test_what_monitoring_reads_by_the_exit_code(project: Project, deployed: Deploy) -> None:
    deployed(project)
    assert access.healthy(project, 10).status is Status.HEALTHY
    code, said = health(project, "--format nagios")
    name = project.settings.app.name
    assert (code, said.partition(" | ")[0]) == (0, f"METAMCP OK - {name} is healthy, 3 checks")
    deployed(with_app(project, env={"MODE": "launcher"}))
    access.healthy(project, 10)
    code, said = health(project, "--format nagios")
    assert (code, said.partition(":")[0], said.count("\n")) == (1, f"METAMCP WARNING - {name}", 1)
    start_stop.stop(session.site(project))
    code, said = health(project, "--format nagios")
    assert (code, said.startswith("METAMCP CRITICAL - ")) == (2, True)
    code, said = health(project, "--format prometheus")
    assert (code, 'status="stopped"} 2' in said) == (0, True)
    code, said = health(project, "--format nagios -t nowhere")
    assert (code, said.startswith("METAMCP UNKNOWN - There is no target")) == (3, True)
