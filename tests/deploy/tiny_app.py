"""A tiny app in place of a built MetaMCP, and what tests ask of its deployments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from metamcp_deploy import atomic, events
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.release import archive, identity
from metamcp_deploy.release.archive import Entry
from metamcp_deploy.target import databricks_yml

APP = """\
import http from "node:http";
const mode = process.env.MODE ?? "well";
console.log(`tiny app begins in mode ${mode} at ${process.env.APP_URL}`);
for (let n = 0; n < Number(process.env.CHATTER ?? 0); n++) console.log(`line ${n}`);
if (mode === "crash") { console.error("no luck today"); process.exit(3); }
const json = (response, status, value, headers) => {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(value));
};
http.createServer((request, response) => {
  if (mode === "launcher") return json(response, 503, { status: "failed", step: "migrations", code: "no_schema",
    message: "Failed to apply database migrations", request_id: "r1" });
  if (mode === "given-up") return json(response, 503, { status: "failed", step: "migrate", code: "unpack_failed",
    message: "does not try again", request_id: "r1" }, { "retry-after": "60" });
  if (process.env.BETTER_AUTH_SECRET === "") return json(response, 503, { status: "failed", step: "environment",
    code: "better_auth_secret_empty", message: "does not try again", request_id: "r1" }, { "retry-after": "60" });
  if (request.url === "/die") process.exit(3);
  if (mode === "revoked" && request.url === "/metamcp") console.error("error: permission denied for table endpoints");
  if (request.url === "/metamcp" && mode === "revoked") return json(response, 500, { error: "no endpoint" });
  if (request.url === "/metamcp/health") return json(response, 200, { status: "ok" });
  if (request.url === "/metamcp" && mode === "nodatabase") return json(response, 500, { error: "no database" });
  if (request.url === "/metamcp" && mode !== "missing") return json(response, 200, { endpoints: [] });
  if (request.url === "/.metamcp-deploy/status" && process.env.INSIDE === "never") return;
  if (request.url === "/.metamcp-deploy/status" && process.env.INSIDE)
    return json(response, 200, JSON.parse(process.env.INSIDE));
  if (request.url === "/env") return json(response, 200, process.env);
  if (request.url === "/pid") return json(response, 200, { pid: process.pid });
  json(response, 404, {});
}).listen(Number(process.env.DATABRICKS_APP_PORT), "0.0.0.0", () => console.log("tiny app listens"));
"""


def write_bundle(
    project: Project,
    text: str = APP,
    journal: Sequence[str] = (),
    form: int = 2,
    migrations: Sequence[Entry] = (),
    schema: str | None = None,
) -> str:
    """A bundle, whose migrations have these names, and the record of its build; gives the release's id."""
    app = project.bundle / "app"
    app.mkdir(parents=True, exist_ok=True)
    (app / "app.yaml").write_text('command: ["node", "start.mjs"]\n')
    (app / "start.mjs").write_text(text)
    parts: dict[str, dict[str, Any]] = {}
    for name in ("backend", "frontend", "migrations"):
        content = archive.pack(migrations if name == "migrations" else [])
        (app / f"{name}.tar.gz").write_bytes(content)
        parts[name] = {
            "file": f"{name}.tar.gz",
            "entry": "index.mjs",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
    parts["migrations"]["journal"] = list(journal)
    about: dict[str, Any] = {"format": form, "routes": [], "parts": parts}
    about |= {"schema": schema} if schema else {}
    own = [Entry(name, (app / name).read_bytes()) for name in identity.OWN]
    packed = {"migrations": migrations} if migrations else {}
    release = identity.of({"": own, **packed}, about)
    (app / "release.json").write_text(json.dumps({**about, "id": release}))
    record = {"fingerprint": {}, "facts": {"release": release, "files": 6, "bytes": 1}}
    atomic.write(project.state / "build.json", json.dumps(record))
    write_databricks_yml(project)
    return release


def write_databricks_yml(project: Project) -> None:
    """What `build` does when nothing but settings changed."""
    (project.bundle / databricks_yml.FILE).write_text(databricks_yml.text(project))


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({"target": "local", "embedded": True, "app": {"name": "tiny"}, **changes})


def changed(seen: list[events.Event]) -> list[tuple[str, str]]:
    """What was made, changed, kept: (action, kind)."""
    return [(e.action, e.kind) for e in seen if isinstance(e, events.Changed)]


def with_app(project: Project, **app: Any) -> Project:
    """The project with other settings of its app."""
    dump = project.settings.model_dump(by_alias=True)
    return replace(project, settings=Settings.model_validate({**dump, "app": {**dump["app"], **app}}))


def with_settings(project: Project, **sections: Any) -> Project:
    """The project with other settings; each section's keys are laid over what there is, unless of another kind."""
    dump = project.settings.model_dump(by_alias=True)
    for name, keys in sections.items():
        same = keys.get("kind") in (None, dump[name].get("kind"))
        dump[name] = {**dump[name], **keys} if same else keys
    return replace(project, settings=Settings.model_validate(dump))
