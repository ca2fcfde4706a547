"""Failures of the app, its deployment and its resources in the workspace."""

from __future__ import annotations

from typing import Any

from metamcp_deploy.config.loading import load
from metamcp_deploy.config.secret import Secret
from tests.doctor.provoking.case import case
from tests.doctor.provoking.scene import Scene, until

SECRET = "BETTER_AUTH_SECRET"
# Another program in place of MetaMCP.
OTHER = """\
import http from "node:http";
http.createServer((request, response) => { response.writeHead(404); response.end("Cannot GET"); })
  .listen(Number(process.env.DATABRICKS_APP_PORT), "0.0.0.0");
"""


@case("stopped", heals=True)
def stopped(scene: Scene) -> None:
    scene.stop()


@case("crashed", heals=True)
def launcher_killed(scene: Scene) -> None:
    scene.launcher().kill()
    until(lambda: scene.app.state == "CRASHED")


@case("not-found")
def app_of_another_name(scene: Scene) -> None:
    scene.view(lambda: load(scene.folder, target="local", sets=["app.name=metamcpp"]))


@case("not-deployed")
def nothing_deployed(scene: Scene) -> None:
    scene.api("POST", "/api/2.0/apps?no_compute=false", {"name": "fresh"})
    until(lambda: scene.workspace.apps.get("fresh").compute == "ACTIVE")
    scene.later(lambda: scene.workspace.apps.delete("fresh"))
    scene.bare("fresh")


@case("settings-missing", heals=True)
def deployed_by_hand(scene: Scene) -> None:
    deploy(scene, [])


@case("placeholder", heals=True)
def placeholder(scene: Scene) -> None:
    env = [e for e in scene.env() if e["name"] != "APP_URL"]
    deploy(scene, [*env, {"name": "APP_URL", "value": "${var.app_url}"}])


@case("wrong-path", heals=True)
def another_program(scene: Scene) -> None:
    folder = "/Workspace/Users/developer@example.com/other"
    scene.workspace.files.make_folder(folder)
    scene.workspace.files.write(f"{folder}/app.yaml", b'command: ["node", "other.mjs"]\n')
    scene.workspace.files.write(f"{folder}/other.mjs", OTHER.encode())
    deploy(scene, [], folder)


@case("part-altered")
def part_altered(scene: Scene) -> None:
    active = scene.app.active
    assert active
    path = f"{active.source_code_path}/backend.tar.gz"
    files = scene.workspace.files
    kept = files.read(path)
    assert kept
    files.write(path, b"another content")
    deploy(scene, scene.env())
    scene.later(scene.redeploy)
    scene.later(lambda: files.write(path, kept))


@case("secret-gone", heals=True)
def secret_deleted(scene: Scene) -> None:
    scene.workspace.secrets.delete(scene.name, SECRET)


@case("scope-gone", heals=True)
def scope_deleted(scene: Scene) -> None:
    scene.workspace.secrets.delete_scope(scene.name)


@case("secret-empty", heals=True)
def secret_empty(scene: Scene) -> None:
    scene.workspace.secrets.put(scene.name, SECRET, Secret(""))
    scene.restart()


@case("secret-access-missing", heals=True)
def secret_access_taken(scene: Scene) -> None:
    scene.api("POST", "/api/2.0/secrets/acls/delete", {"scope": scene.name, "principal": scene.role})


@case("resource-missing", heals=True)
def database_detached(scene: Scene) -> None:
    without_database(scene)


@case("resource-missing", heals=True)
def secret_detached(scene: Scene) -> None:
    attach(scene, [r for r in scene.app.resources if "secret" not in r])


@case("instance-differs", heals=True)
def another_database_attached(scene: Scene) -> None:
    branch = other_project(scene)
    other = {"branch": branch, "database": f"{branch}/databases/databricks-postgres"}
    change(scene, "postgres", {**other, "permission": "CAN_CONNECT_AND_CREATE"})


@case("resource-differs", heals=True)
def another_key_attached(scene: Scene) -> None:
    scene.workspace.secrets.put(scene.name, "OTHER", Secret("something"))
    scene.later(lambda: scene.workspace.secrets.delete(scene.name, "OTHER"))
    change(scene, "secret", {"scope": scene.name, "key": "OTHER", "permission": "READ"})


@case("database-gone")
def database_project_deleted(scene: Scene) -> None:
    name = scene.project_name
    scene.workspace.lakebase.delete(name, 60)
    scene.later(scene.restart)
    scene.later(lambda: until(lambda: scene.workspace.lakebase.find(name)))
    scene.later(lambda: scene.api("POST", f"/api/2.0/postgres/{name}/undelete", {}))


@case("endpoint-disabled")
def endpoint_disabled(scene: Scene) -> None:
    name = f"{scene.project_name}/branches/production/endpoints/primary"

    def disable(disabled: bool) -> None:
        spec = {"spec": {"disabled": disabled}}
        scene.api("PATCH", f"/api/2.0/postgres/{name}?update_mask=spec.disabled", spec)

    scene.later(lambda: disable(False))
    disable(True)


def deploy(scene: Scene, env: list[dict[str, str]], source: str = "") -> None:
    """A deployment as somebody makes it without this tool."""
    active = scene.app.active
    assert active or source
    source = source or str(active and active.source_code_path)
    begun = scene.workspace.apps.deploy(scene.name, source, env)
    ended = ("SUCCEEDED", "FAILED")
    until(lambda: scene.workspace.apps.deployment(scene.name, begun.id).state in ended, 90)


def attach(scene: Scene, resources: list[dict[str, Any]]) -> None:
    """Gives the app these resources, as on its page."""
    scene.workspace.apps.update(scene.name, {"resources": resources})
    until(lambda: scene.workspace.apps.update_state(scene.name)[0] == "SUCCEEDED")


def without_database(scene: Scene) -> None:
    """Takes the database from the app's resources."""
    attach(scene, [r for r in scene.app.resources if "postgres" not in r])


def change(scene: Scene, kind: str, to: dict[str, Any]) -> None:
    attach(scene, [{**r, kind: to} if kind in r else r for r in scene.app.resources])


def other_project(scene: Scene) -> str:
    """Another Lakebase project; its branch."""
    if scene.workspace.lakebase.find("projects/another") is None:
        scene.api(
            "POST", "/api/2.0/postgres/projects?project_id=another", {"spec": {"display_name": "Another"}}
        )
        until(lambda: scene.workspace.lakebase.find("projects/another"))
    return "projects/another/branches/production"
