"""The platform's own times and limits, scaled so that a test can wait for them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from databricks.sdk.errors import DatabricksError
from databricks.sdk.service.apps import App, AppDeployment
from databricks.sdk.service.postgres import Project

from metamcp_deploy import local
from metamcp_deploy.local.timing import LAPSES, RATES, Timing
from tests.local.embedded_world import World, world_in

# The old process answers what had reached it when the new one took its place; an app that ends at once on SIGTERM
# cuts those requests off, here as on the platform.
GRACEFUL = b'process.on("SIGTERM", () => setTimeout(() => process.exit(), 1000));'


@pytest.fixture
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = world_in(tmp_path_factory.mktemp("slow"), realistic=0.02, overlap=True)
    yield made
    local.reset(made.project)


def test_by_default_everything_is_quick_and_unlimited() -> None:
    pace = Timing()
    assert sum(pace.seconds(name) for name in LAPSES if name != "token") < 5
    assert not any(pace.too_many("POST", "/api/2.0/workspace/import", "me") for _ in range(1000))


def test_times_are_scaled_and_limits_are_not() -> None:
    waited: list[float] = []
    now = [0.0]

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    pace = Timing(0.5, sleep=sleep, clock=lambda: now[0])
    asyncio.run(pace.passes("app.start"))
    assert waited == [LAPSES["app.start"].real / 2]
    path = "/api/2.0/workspace-files/import-file/Shared%2Fx"
    assert [pace.too_many("POST", path, "me") for _ in range(21)] == [False] * 20 + [True]
    assert not pace.too_many("POST", path, "you")
    assert not pace.too_many("POST", "/api/2.0/workspace/mkdirs", "me")
    now[0] = 1.0
    assert not pace.too_many("POST", path, "me")


def test_every_number_has_a_source() -> None:
    assert all(lapse.source and lapse.real >= lapse.quick for lapse in LAPSES.values())
    assert all(source for _, source in RATES.values())


def test_the_docs_tell_the_times() -> None:
    page = (Path(__file__).parents[2] / "docs" / "embedded-workspace.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    told = {
        name: (quick, real)
        for _, names, quicks, reals, *_ in rows
        for name, quick, real in _spread(names, quicks, reals)
    }
    for name, lapse in LAPSES.items():
        assert told.get(name) == (lapse.quick, lapse.real), name


def _spread(names: str, quicks: str, reals: str) -> list[tuple[str, float, float]]:
    """A row that tells several: one number for all, or one for each."""
    found = [n.strip("` ") for n in names.split(":")[0].split(",")]
    if not all(n in LAPSES for n in found):
        return []
    numbers = [[float(x) for x in cell.split(",")] for cell in (quicks, reals)]
    quick, real = (n * len(found) if len(n) == 1 else n for n in numbers)
    return list(zip(found, quick, real, strict=True))


def test_a_deployment_takes_its_time_and_the_old_process_answers_until_the_new_one_does(slow: World) -> None:
    name = slow.name()
    web = slow.web()
    files = web | {"server.mjs": bytes(web["server.mjs"]) + GRACEFUL}  # type: ignore[arg-type]
    source = slow.upload(f"/Workspace/Shared/{name}", files)
    slow.client.apps.create(App(name=name), no_compute=True)
    slow.client.apps.start(name)
    assert slow.compute(name) == "STARTING"
    with pytest.raises(DatabricksError, match="STARTING state"):
        slow.client.apps.deploy(name, AppDeployment(source_code_path=source))
    slow.until(lambda: slow.compute(name) == "ACTIVE")
    assert slow.deploy(name, source).status.state.value == "SUCCEEDED"
    app = slow.client.apps.get(name)
    seen: list[int] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            seen.append(slow.get(app, "/").status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(2):  # there and back: the new one takes the old one's place each time
        assert slow.deploy(name, source).status.state.value == "SUCCEEDED"
    ended.set()
    asking.join()
    assert set(seen) == {200}
    # A new version that does not start leaves the old one running.
    assert slow.deploy(name, source, command=["false"]).status.state.value == "FAILED"
    assert (slow.state(name), slow.get(app, "/").status_code) == ("RUNNING", 200)
    slow.client.apps.stop(name)
    slow.until(lambda: slow.compute(name) == "STOPPED")
    assert slow.get(app, "/").status_code == 502


def test_an_app_that_is_deleted_is_in_the_way_for_a_while(slow: World) -> None:
    name = slow.name()
    slow.client.apps.create(App(name=name), no_compute=True)
    slow.client.apps.delete(name)
    assert slow.compute(name) == "DELETING"
    with pytest.raises(DatabricksError, match="not terminal with state DELETING"):
        slow.client.apps.delete(name)
    with pytest.raises(DatabricksError, match="being deleted"):
        slow.client.apps.create(App(name=name), no_compute=True)
    slow.until(lambda: name not in [a.name for a in slow.client.apps.list()])


def test_operations_take_polls(slow: World) -> None:
    operation = slow.client.postgres.create_project(Project(), "waited")
    assert not slow.client.postgres.get_operation(operation.name()).done
    operation.wait()
    path = "/api/2.0/postgres/projects/waited"
    body = {"spec": {"display_name": "x"}}
    changed = slow.client.api_client.do("PATCH", path, query={"update_mask": "spec.display_name"}, body=body)
    assert changed["done"] is False
    slow.until(lambda: slow.client.postgres.get_operation(changed["name"]).done)


def test_more_than_so_many_imports_a_second_are_too_many(slow: World) -> None:
    url = f"{slow.running.url}/api/2.0/workspace-files/import-file/Shared%2Fx?overwrite=true"
    headers = slow.headers

    def send(_: int) -> requests.Response:
        return requests.post(url, data=b"x", headers=headers, timeout=120)

    began = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(send, range(60)))
    refused = [a for a in answers if a.status_code == 429]
    assert len(answers) - len(refused) <= 20 * (2 + time.monotonic() - began)
    assert refused
    assert {a.headers["Retry-After"] for a in refused} == {"1"}


def test_tokens_end_sooner_in_a_faster_world(slow: World) -> None:
    given = {"grant_type": "client_credentials", "scope": "all-apis"}
    login = (slow.running.client_id, slow.running.client_secret.reveal())
    token = requests.post(f"{slow.running.url}/oidc/v1/token", data=given, auth=login, timeout=120).json()
    assert token["expires_in"] == 72
