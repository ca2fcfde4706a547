"""One app: its deployments, process, port and log."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

from metamcp_deploy.container import manifest, ports
from metamcp_deploy.container.environment import empty
from metamcp_deploy.container.manifest import FailedDeploymentError
from metamcp_deploy.errors import DeployError
from metamcp_deploy.local.api.errors import ApiError, conflict
from metamcp_deploy.local.apps import deployment, environment
from metamcp_deploy.local.apps.logs import Log
from metamcp_deploy.local.apps.proxy import Proxy
from metamcp_deploy.local.apps.runtime import HEALTH_SECONDS, Runtime
from metamcp_deploy.local.context import Context
from metamcp_deploy.local.lakebase.specs import seconds
from metamcp_deploy.local.ports import listener
from metamcp_deploy.local.timing import stamp

_log = logging.getLogger(__name__)
_RUNNING = ("RUNNING", "App is running.")


class App:
    """Runs one app. Its record belongs to `Apps`; here `deployments`, `active`, `pending`, `last` are changed."""

    def __init__(self, context: Context, record: dict[str, Any]) -> None:
        self.context = context
        self.record = record
        self.name: str = record["name"]
        self.folder: Path = context.folder / "apps" / self.name
        self.log = Log(self.folder / "app.log")
        self.runtime = self._new_runtime(self.name, self.folder)
        self._next: Runtime | None = None
        self.proxy = Proxy(context, record, self.log, self.runtime)
        self.state = ("UNAVAILABLE", "App has not been deployed yet. Run your app by deploying source code")
        self.restarting = False  # what was deployed last starts again, and answers show it as active
        self._changing = asyncio.Lock()
        self._closed = False

    def _new_runtime(self, name: str, folder: Path) -> Runtime:
        def exited(code: int) -> None:
            if self.runtime is made:
                self.state = ("CRASHED", f"App crashed with exit code {code}. Look at its log.")

        made = Runtime(name, folder, self.log, self.context.ledger, exited)
        return made

    @property
    def crashed(self) -> bool:
        """Whether its process ended by itself and nothing is under way that starts one."""
        idle = not (self.restarting or self.record.get("pending") or self.runtime.running)
        return idle and self.record["compute"] == "ACTIVE" and self.state[0] == "CRASHED"

    async def open(self) -> None:
        """Opens the app's public port.

        Raises:
            DeployError: PORT_TAKEN.
        """
        await self.proxy.open(listener(self.context.store, f"app:{self.name}"))

    async def close(self) -> None:
        """Ends the process, a deployment that is under way with it, and closes the port."""
        self._closed = True
        await self.proxy.close()
        await self._end()

    async def _end(self) -> None:
        for runtime in {self._next or self.runtime, self.runtime}:
            await runtime.stop()  # a deployment that waits for it to listen fails now and gives way
        async with self._changing:
            await self.runtime.stop()

    def settle(self) -> None:
        """Deployments that the server's end cut off have failed."""
        if pending := self.record.pop("pending", None):
            self._finish(pending, "FAILED", "The embedded workspace ended during the deployment.")

    def accept(self, request: dict[str, Any], creator: str) -> dict[str, Any]:
        """Records a deployment and starts it in the background of the caller.

        Raises:
            ApiError: when the compute is stopped or another deployment runs.
        """
        if self.record["compute"] != "ACTIVE":
            raise conflict(
                f"Cannot deploy app {self.name} as its compute is in {self.record['compute']} state. "
                "Start the app first."
            )
        if self.record.get("pending") or self.restarting:
            raise ApiError(
                409,
                "RESOURCE_CONFLICT",
                f"Cannot deploy app {self.name} as there is an active deployment in progress.",
            )
        now = stamp(time.time())
        made = {
            "deployment_id": uuid.uuid4().hex,
            "mode": request.get("mode") or "SNAPSHOT",
            "source_code_path": request["source_code_path"],
            "command": request.get("command"),
            "env_vars": request.get("env_vars") or [],
            "health_check": request.get("health_check"),
            "creator": creator,
            "create_time": now,
            "update_time": now,
            "status": {"state": "IN_PROGRESS", "message": "Deployment is in progress."},
        }
        self.record["deployments"][made["deployment_id"]] = made
        self.record["pending"] = made["deployment_id"]
        self.context.store.save()
        return made

    async def deploy(self, deployment_id: str) -> None:
        """Carries out an accepted deployment."""
        made = self.record["deployments"][deployment_id]
        try:
            async with self._changing:
                await self._pass(made, "app.deploy.prepare", "Preparing source code for new app deployment.")
                await asyncio.to_thread(self._snapshot, made)
                await self._pass(made, "app.deploy.start", "Starting app.")
                await self._run(made, made.get("health_check"))
        except (FailedDeploymentError, ApiError, DeployError) as e:
            stopped = self._closed or self.record["compute"] != "ACTIVE"
            self._ended(deployment_id, "CANCELLED" if stopped else "FAILED", str(e))
        except asyncio.CancelledError:
            raise
        except Exception as e:
            _log.exception("deployment of %s", self.name)
            self._ended(deployment_id, "FAILED", f"Internal error: {type(e).__name__}: {e}")
        else:
            self.record["active"] = self.record["last"] = deployment_id
            await asyncio.to_thread(self._prune)
            self._ended(deployment_id, "SUCCEEDED", "App started successfully")

    async def _pass(self, made: dict[str, Any], what: str, message: str) -> None:
        """One of the steps that a deployment in progress shows; the words are unsure."""
        made["status"]["message"] = message
        await self.context.timing.passes(what)
        if self._closed or self.record["compute"] != "ACTIVE":
            raise FailedDeploymentError("The app was stopped during the deployment.")

    def _ended(self, deployment_id: str, state: str, message: str) -> None:
        self.record.pop("pending", None)
        self._finish(deployment_id, state, message)
        if state == "FAILED":
            self.log.add("SYSTEM", f"Deployment {deployment_id} failed: {message}")
            if not self.runtime.running:
                self.state = (self.state[0] if self.state[0] == "CRASHED" else "UNAVAILABLE", message)
            elif self.state[0] == "DEPLOYING":
                self.state = _RUNNING
        self.context.store.save()

    def _finish(self, deployment_id: str, state: str, message: str) -> None:
        made = self.record["deployments"][deployment_id]
        made["status"] = {"state": state, "message": message}
        made["update_time"] = stamp(time.time())

    def source(self, deployment_id: str) -> Path:
        """Where a deployment's snapshot is."""
        return self.folder / "source" / deployment_id

    def _readable(self, made: dict[str, Any]) -> Path:
        return self.context.files.place(deployment.artifacts(made))

    def _prune(self) -> None:
        """Only the last good deployment can be started again, by `start` or by the next `up`."""
        for folder in (self.folder / "source").iterdir():
            if folder.name != self.record["last"]:
                shutil.rmtree(folder, ignore_errors=True)
                if made := self.record["deployments"].get(folder.name):
                    shutil.rmtree(self._readable(made), ignore_errors=True)

    def _snapshot(self, made: dict[str, Any]) -> None:
        shown = made["source_code_path"]
        self.log.add("SYSTEM", f"Deployment {made['deployment_id']}: taking a snapshot of {shown}")
        source = self.source(made["deployment_id"])
        deployment.snapshot(self.context.files.place(shown), shown, source)
        # What can be read of it is a copy: the app may write to the folder that it runs in.
        shutil.copytree(source, self._readable(made), dirs_exist_ok=True)

    async def _run(self, made: dict[str, Any], check: dict[str, Any] | None = None) -> None:
        """Replaces the running process by this deployment's; returns when its port accepts, or its check passes."""
        source = self.source(made["deployment_id"])
        described = await asyncio.to_thread(manifest.read, source)
        command = made["command"] or list(described.command)
        if not command:
            raise FailedDeploymentError("Neither app.yaml nor the deployment has a command.")
        port = ports.free()
        old, new = self.runtime, self._runtime_for_new(overlap=check is not None)
        env = await environment.variables(
            self.context, self.record, described.env, made["env_vars"], port, new.scratch
        )
        self.state = ("DEPLOYING", "Starting the app.")
        self._next = new
        try:
            if new is old:
                await old.stop()
            if self._closed or self.record["compute"] != "ACTIVE":
                raise FailedDeploymentError("The app was stopped during the deployment.")
            await asyncio.to_thread(empty, new.scratch)
            self.log.add("SYSTEM", f"Starting app with command: {command}")
            await new.start(command, source, env, port)
            if not await new.listening():
                raise FailedDeploymentError(self._why(new))
            if check:
                await self._checked(new, check)
        except BaseException:
            if new is not old:
                await new.stop()
            raise
        finally:
            self._next = None
        self.runtime = self.proxy.runtime = new
        self.state = _RUNNING
        self.log.add("SYSTEM", "App started successfully")
        if new is not old:
            await self.proxy.answered(old)
            await old.stop()

    async def _checked(self, runtime: Runtime, check: dict[str, Any]) -> None:
        """The platform's own check of a deployment: until it passes, no request gets to the new process."""
        path, timeout = check["path"], check.get("timeout")
        within = seconds(timeout) if timeout else HEALTH_SECONDS
        self.log.add("SYSTEM", f"Health check: waiting up to {within:g} s for GET {path} to answer 200")
        if not await runtime.healthy(path, within):
            if not runtime.running:
                raise FailedDeploymentError(self._why(runtime))
            raise FailedDeploymentError(f"App did not pass its health check ({path}) within {within:g} s.")

    def _runtime_for_new(self, *, overlap: bool) -> Runtime:
        """Where the new process starts: in place of the old one, or beside it. Unsure which the platform does."""
        if not overlap and not (self.context.options.overlap and self.runtime.running):
            return self.runtime
        beside = self.runtime.name == self.name
        name, folder = (f"{self.name}~", self.folder / "beside") if beside else (self.name, self.folder)
        return self._new_runtime(name, folder)

    def _why(self, runtime: Runtime) -> str:
        if runtime.running:
            return "App did not listen on DATABRICKS_APP_PORT within 10 minutes."
        last = " | ".join(self.log.last(3))
        return f"App crashed with exit code {runtime.exit_code} before it listened. Last output: {last}"

    async def restart(self) -> None:
        """Runs the last good deployment again: after `start`, and after the server came up again."""
        last = self.record.get("last")
        if last is None:
            return
        self.restarting = True
        try:
            async with self._changing:
                await self._run(self.record["deployments"][last])
                self.record["active"] = last
        except (FailedDeploymentError, ApiError, DeployError) as e:
            self.log.add("SYSTEM", f"App could not be started: {e}")
            self.state = ("CRASHED", str(e))
        finally:
            self.restarting = False
        self.context.store.save()

    async def start_compute(self) -> None:
        """STARTING → ACTIVE, and what was deployed last runs again."""
        await self.context.timing.passes("app.start")
        if self._closed or self.record["compute"] != "STARTING":
            return  # deleted meanwhile
        await asyncio.to_thread(self.log.clear)
        self.record["compute"] = "ACTIVE"
        self.context.store.save()
        await self.restart()

    async def stop_process(self, message: str) -> None:
        """Ends the process and the log streams."""
        await self._end()
        await self.proxy.end_streams()
        self.state = ("UNAVAILABLE", message)

    async def stop_compute(self) -> None:
        """STOPPING → STOPPED; the active deployment is forgotten in answers, as the platform does."""
        await self.stop_process("App compute is stopped.")
        await self.context.timing.passes("app.stop")
        if self.record["compute"] != "STOPPING":
            return  # deleted meanwhile
        self.record["compute"] = "STOPPED"
        self.record.pop("active", None)
        self.context.store.save()
