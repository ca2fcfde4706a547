"""Redeploys without a gap: what clients meet while one process takes another's place."""

from __future__ import annotations

import asyncio
import threading

from metamcp_deploy.local.apps.runtime import Runtime
from metamcp_deploy.local.apps.unanswered import Unanswered
from tests.local.embedded_world import World

# As the launcher: it listens at once and is ready later; asked to end, it takes no more connections.
SLOW_TO_START = """\
import http from "node:http";
const ready = Date.now() + 500;
const server = http.createServer((request, response) => {
  response.writeHead(Date.now() < ready ? 503 : 200);
  response.end(String(process.pid));
});
server.listen(Number(process.env.DATABRICKS_APP_PORT), "0.0.0.0");
process.on("SIGTERM", () => { server.close(() => process.exit()); server.closeIdleConnections(); });
"""
APP: dict[str, str | bytes] = {"app.yaml": 'command: ["node", "start.mjs"]\n', "start.mjs": SLOW_TO_START}
CHECK = {"path": "/", "timeout": "60s"}


def test_with_a_health_check_every_request_of_a_redeploy_is_answered_well(world: World) -> None:
    app = world.serve(APP)
    world.until(lambda: world.get(app, "/").status_code == 200)
    source = str(world.client.apps.get(app.name).default_source_code_path)
    seen: set[tuple[int, str]] = set()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            answer = world.get(app, "/")
            seen.add((answer.status_code, answer.text))

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    deploy = {"source_code_path": source, "health_check": CHECK}
    made = world.client.api_client.do("POST", f"/api/2.0/apps/{app.name}/deployments", body=deploy)
    path = f"/api/2.0/apps/{app.name}/deployments/{made['deployment_id']}"
    state = world.client.api_client.do
    world.until(lambda: state("GET", path)["status"]["state"] != "IN_PROGRESS")
    world.until(lambda: len({pid for _, pid in seen}) > 1)
    over.set()
    for thread in asking:
        thread.join()
    assert state("GET", path)["status"]["state"] == "SUCCEEDED"
    assert {status for status, _ in seen} == {200}


def test_one_that_is_never_healthy_leaves_the_old_one_and_a_first_one_serves_nobody(world: World) -> None:
    app = world.serve(APP)
    world.until(lambda: world.get(app, "/").status_code == 200)
    sick = {**APP, "start.mjs": SLOW_TO_START.replace("Date.now() < ready ? 503 : 200", "503")}
    body = {"health_check": {"path": "/", "timeout": "1s"}}
    fresh = world.create(world.name())
    for name, expected in ((app.name, 200), (fresh.name, 502)):
        source = world.upload(f"/Workspace/Shared/{name}-sick", sick)
        url = f"/api/2.0/apps/{name}/deployments"
        made = world.client.api_client.do("POST", url, body={"source_code_path": source, **body})
        one = f"{url}/{made['deployment_id']}"

        def status(one: str = one) -> dict[str, str]:
            found: dict[str, str] = world.client.api_client.do("GET", one)["status"]
            return found

        world.until(lambda: status()["state"] != "IN_PROGRESS")
        assert status()["state"] == "FAILED"
        assert "did not pass its health check (/) within 1 s" in status()["message"]
        assert world.get(world.client.apps.get(name), "/").status_code == expected


def test_a_replaced_process_ends_after_it_answered_what_it_got() -> None:
    async def replaced() -> list[str]:
        unanswered, old, seen = Unanswered(), object.__new__(Runtime), []

        async def ask() -> None:
            with unanswered.one(old) as answered:
                await asyncio.sleep(0.05)
                seen.append("answered")
                answered.set()
                await asyncio.sleep(30)  # a stream goes on

        asking = asyncio.create_task(ask())
        await asyncio.sleep(0)
        await unanswered.over(old, 10)
        seen.append("ended")
        asking.cancel()
        return seen

    assert asyncio.run(replaced()) == ["answered", "ended"]
