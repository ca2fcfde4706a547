"""Database credentials that live for seconds: idle, while connections are opened, and while the workspace is away.

    python -m benchmarks.token_life --project FOLDER [--ttl 20] [--minutes 5] [--outage 60]

FOLDER holds a built project; its bundle is deployed to an embedded workspace of this process, in scratch space.
Requests that need the database must all answer 200, and Postgres must refuse no login.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from metamcp_deploy import pipeline
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.deployments import access
from metamcp_deploy.local import store
from metamcp_deploy.local.api import middleware
from metamcp_deploy.local.apps import process_ledger
from metamcp_deploy.local.context import Context
from metamcp_deploy.local.identity import Principal
from metamcp_deploy.local.lakebase.pg_proxy import Counters
from metamcp_deploy.local.options import Options
from metamcp_deploy.local.server import Server, describe
from metamcp_deploy.stages import app_deploy, bundle_deploy

BURST = 20  # requests at once: more than the ten connections of the pool
POOL_IDLE = 11  # seconds after which pg-pool has dropped its idle connections (10)
FROM_THE_APP = ("/oidc/v1/token", "/api/2.0/postgres/credentials")


@dataclass
class Outage:
    """Makes the workspace refuse what the app asks it for."""

    on: bool = False
    refused: int = 0

    @web.middleware
    async def layer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Answers 503 while it is on."""
        if self.on and request.path in FROM_THE_APP:
            self.refused += 1
            return web.json_response({"error_code": "TEMPORARILY_UNAVAILABLE"}, status=503)
        response: web.StreamResponse = await handler(request)
        return response


@dataclass
class Load:
    """Requests that need the database, and what they answered."""

    context: Context
    url: str
    answers: Counter[int] = field(default_factory=Counter)

    async def ask(self, session: aiohttp.ClientSession, number: int = 1) -> Counter[int]:
        """Some requests at once."""
        user: Principal = self.context.identity.user
        headers = {"Authorization": f"Bearer {self.context.identity.issue(user)}"}

        async def one() -> int:
            async with session.get(f"{self.url}/metamcp", headers=headers, allow_redirects=False) as answer:
                await answer.read()
                return answer.status

        found = Counter(await asyncio.gather(*(one() for _ in range(number))))
        self.answers += found
        return found


def deploy(project: Project) -> None:
    """Sends the bundle, starts the app and waits for it."""
    for stage in (bundle_deploy, app_deploy):
        pipeline.execute(stage.step(project), project.state)
    access.healthy(project, 60)


Phase = Callable[[Load, aiohttp.ClientSession], Awaitable[None]]


async def idle(load: Load, session: aiohttp.ClientSession, seconds: float) -> None:
    """Nobody asks for a while; then many do."""
    await asyncio.sleep(seconds)
    await load.ask(session, BURST)


async def opening(load: Load, session: aiohttp.ClientSession, seconds: float) -> None:
    """Bursts, each on new connections."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        await asyncio.sleep(POOL_IDLE)
        await load.ask(session, BURST)


async def away(load: Load, session: aiohttp.ClientSession, seconds: float, outage: Outage) -> None:
    """The workspace refuses; a connection that is open goes on, and afterwards new ones can be opened again."""
    await load.ask(session)
    outage.on = True
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        await load.ask(session)
        await asyncio.sleep(1)
    outage.on = False
    began, running = time.monotonic(), load.answers
    load.answers = Counter()
    for _ in range(100):
        if set(await load.ask(session, BURST)) == {200}:
            break
        await asyncio.sleep(0.5)
    refused = {status: n for status, n in load.answers.items() if status != 200}
    seconds = time.monotonic() - began
    print(
        f"  the workspace refused {outage.refused} calls; {seconds:.1f} s later new connections, until then {refused}"
    )
    load.answers = running


async def measure(
    context: Context, server: Server, url: str, given: argparse.Namespace, outage: Outage
) -> bool:
    """Prints a line for each phase; whether all were as they must be."""
    logins: Counters = server.lakebase.logins
    seconds = given.minutes * 60
    phases: list[tuple[str, Phase]] = [
        (f"idle for {seconds:g} s", partial(idle, seconds=seconds)),
        (f"opening connections for {seconds:g} s", partial(opening, seconds=seconds)),
        (f"workspace away for {given.outage:g} s", partial(away, seconds=given.outage, outage=outage)),
    ]
    good = True
    async with aiohttp.ClientSession() as session:
        for name, phase in phases:
            load, before = Load(context, url), Counters(logins.ok, logins.failed)
            await phase(load, session)
            failed = logins.failed - before.failed
            good &= set(load.answers) == {200} and failed == 0
            print(
                f"{name}: answers {dict(load.answers)}, logins {logins.ok - before.ok}, failed {failed}",
                flush=True,
            )
    return good


async def run(given: argparse.Namespace, scratch: Path) -> bool:
    """Deploys and measures."""
    work = scratch / "work"
    for part in ("bundle", "state"):
        shutil.copytree(given.project / "build" / part, work / "build" / part)
    folder = work / "build" / "local"
    folder.mkdir()
    outage, layers = Outage(), middleware.layers
    middleware.layers = lambda *parts: [*layers(*parts)[:1], outage.layer, *layers(*parts)[1:]]
    process_ledger.become_subreaper()
    server = Server(folder, Options(token_ttl=given.ttl))
    async with server.running() as context:
        store.write(folder / "workspace.json", describe(context))
        await asyncio.to_thread(deploy, Project(work, Settings(target="local", embedded=True)))
        record = next(iter(server.store.family("apps")))
        url = f"http://127.0.0.1:{server.store.family('ports')[f'app:{record}']}"
        good = await measure(context, server, url, given, outage)
    server.lakebase.cluster.remove()
    return good


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--ttl", type=float, default=20.0)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--outage", type=float, default=60.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="metamcp-benchmark-") as named:
        good = asyncio.run(run(given, Path(named).resolve()))
    print("as it must be: all 200, no failed login" if good else "NOT as it must be")
    sys.exit(0 if good else 1)


main()
