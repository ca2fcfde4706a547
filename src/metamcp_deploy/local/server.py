"""The embedded workspace's daemon: `python -m metamcp_deploy.local.server --state DIR [--options JSON]`.

It writes `workspace.json` when it answers, or `failed.json` with the reason when it cannot start.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web

from metamcp_deploy import __version__, process
from metamcp_deploy.container.ports import HOST, free
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local import ports, store
from metamcp_deploy.local.access_lists import AccessLists
from metamcp_deploy.local.api import middleware, table
from metamcp_deploy.local.api.authorization import Authorization
from metamcp_deploy.local.apps import process_ledger
from metamcp_deploy.local.apps.apps import Apps
from metamcp_deploy.local.apps.sign_in import SignIn
from metamcp_deploy.local.context import Context
from metamcp_deploy.local.faults.injection import Faults
from metamcp_deploy.local.files import Files
from metamcp_deploy.local.identity import Identity
from metamcp_deploy.local.lakebase.autoscaling import Databases
from metamcp_deploy.local.lakebase.doors import Doors
from metamcp_deploy.local.lakebase.provisioned import Instances
from metamcp_deploy.local.lakebase.server import Lakebase
from metamcp_deploy.local.options import USER, Options
from metamcp_deploy.local.repair import Repair
from metamcp_deploy.local.secret_scopes import SecretScopes
from metamcp_deploy.local.store import Store
from metamcp_deploy.local.timing import Timing

_log = logging.getLogger("metamcp_deploy.local")
_LOOK_SECONDS = 1.0
_LARGEST_REQUEST = 64 * 1024 * 1024


class Server:
    """All of one embedded workspace in this process."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder = folder
        self.options = options
        self.store = Store(folder)
        self.faults = Faults()
        self.timing = Timing(options.realistic)
        self.lakebase = Lakebase(folder, tls=options.tls, faults=self.faults.of_login)
        self.stopped = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Context]:
        """Starts everything in order, and ends it in the opposite one.

        Raises:
            DeployError: PORT_TAKEN, POSTGRES_FAILED.
        """
        sock = ports.listener(self.store, "workspace")
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(sock.close)
            await self._start_lakebase()
            stack.push_async_callback(self.lakebase.stop)
            context = self._context(f"http://{HOST}:{sock.getsockname()[1]}")
            await context.doors.keep()
            apps = Apps(context)
            stack.push_async_callback(apps.close)
            await apps.resume()
            repair = Repair(context, apps)
            watching = asyncio.create_task(self._watch(context, repair))
            stack.callback(watching.cancel)
            runner = web.AppRunner(
                self._application(context, apps, repair), access_log=None, shutdown_timeout=2.0
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, sock).start()
            yield context

    async def _start_lakebase(self) -> None:
        known = self.store.family("ports")
        known.setdefault("postgres", free())
        try:
            await self.lakebase.start(known["postgres"])
        except DeployError as e:
            raise ports.taken(known["postgres"], "postgres") if e.code is Code.PORT_TAKEN else e from e
        self.store.save()

    def _context(self, url: str) -> Context:
        identity = Identity(self.store, token_seconds=max(1, int(self.timing.seconds("token"))))
        databases = Databases(self.store, self.lakebase, USER)
        instances = Instances(self.store, self.lakebase, USER, self.timing, databases.physicals)
        apart = [child.pid for child in psutil.Process().children()]
        return Context(
            folder=self.folder,
            url=url,
            options=self.options,
            store=self.store,
            identity=identity,
            sign_in=SignIn(identity),
            files=Files(self.folder / "files", self.store, USER),
            secrets=SecretScopes(self.store),
            databases=databases,
            instances=instances,
            doors=Doors(self.store, databases, instances),
            ledger=process_ledger.Ledger(self.folder / "processes.json", apart),
            timing=self.timing,
            faults=self.faults,
        )

    def _application(self, context: Context, apps: Apps, repair: Repair) -> web.Application:
        lists = AccessLists(context.store, context.files)
        access = Authorization(context.store, lists)
        routes = table.whole(context, apps, self.faults, lists, access, repair)
        record = self.folder / "requests.jsonl"
        layers = middleware.layers(
            context.identity,
            record,
            self.faults,
            access,
            self.timing,
            routes,
            unified=self.options.unified,
        )
        application = web.Application(middlewares=layers, client_max_size=_LARGEST_REQUEST)
        routes.register(application)
        return application

    async def _watch(self, context: Context, repair: Repair) -> None:
        """Looks again and again at: Postgres, what apps run, branches that expire, the folder that may go."""
        ledger = context.ledger
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not await asyncio.to_thread(self.store.path.exists):
                self.stopped.set()
                return
            try:
                await repair.look()
                await context.databases.expire(time.time())
                if ledger.roots or ledger.seen:
                    await asyncio.to_thread(ledger.look)
            except Exception:  # one look less, not an end to looking
                _log.exception("cannot look after branches and processes")


def describe(context: Context) -> dict[str, Any]:
    """The content of `workspace.json`."""
    data = context.identity.data
    return {
        "url": context.url,
        "pid": os.getpid(),
        "version": __version__,
        "workspace_id": context.identity.workspace_id,
        "client_id": data["client_id"],
        "client_secret": data["client_secret"],
        "token": data["token"],
        "options": vars(context.options),
    }


async def serve(folder: Path, options: Options) -> None:
    """Runs until SIGTERM or SIGINT, or until somebody deletes the state: then nothing of it is left, either.

    Raises:
        DeployError: as Server.
    """
    left = await asyncio.to_thread(process_ledger.clean, folder / "processes.json", folder / "apps")
    if left:
        _log.warning("ended %d processes that a killed workspace had left", left)
    process_ledger.become_subreaper()
    server = Server(folder, options)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, server.stopped.set)
    async with server.running() as context:
        server.store.data["options"] = vars(options)  # `up` without others starts it with the same
        server.store.save()
        store.write(folder / "workspace.json", describe(context))
        _log.info("serving at %s", context.url)
        await server.stopped.wait()
        deleted = not await asyncio.to_thread(server.store.path.exists)
        _log.info("stopping%s", ", as the state was deleted" if deleted else "")
    await asyncio.to_thread(process_ledger.kill, process_ledger.descendants(os.getpid()))
    await asyncio.to_thread((folder / "workspace.json").unlink, missing_ok=True)
    if deleted:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def main() -> int:
    """Entry point of the daemon; 1 with `failed.json` when it cannot start."""
    parser = argparse.ArgumentParser(prog="metamcp_deploy.local.server")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--options", default="{}", help="JSON, as metamcp_deploy.local.options has them")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    os.umask(0o077)
    folder: Path = given.state.resolve()
    options = Options(**json.loads(given.options))
    try:
        asyncio.run(serve(folder, options))
    except (DeployError, OSError, MemoryError, RuntimeError) as e:
        known = e if isinstance(e, DeployError) else process.exhausted(e)
        if known is None:
            raise
        _log.exception("cannot start")
        store.write(folder / "failed.json", known.as_dict())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
