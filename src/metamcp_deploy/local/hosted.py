"""One app on the workspace's compute: its deployments, its process, its port and its log."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

from metamcp_deploy.errors import DeployError
from metamcp_deploy.local import deployment, ports
from metamcp_deploy.local.answers import ApiError, conflict, stamp
from metamcp_deploy.local.attachments import Attachments
from metamcp_deploy.local.deployment import FailedDeploymentError
from metamcp_deploy.local.logs import Log
from metamcp_deploy.local.proxy import Proxy
from metamcp_deploy.local.runtime import Runtime
from metamcp_deploy.local.site import Site

_log = logging.getLogger(__name__)
_COMPUTE_SECONDS = 0.3  # long enough that a client sees STARTING and STOPPING


class Hosted:
    """Runs one app. Its record belongs to `Apps`; here `deployments`, `active`, `pending`, `last` are changed."""

    def __init__(self, site: Site, record: dict[str, Any]) -> None:
        self.site = site
        self.record = record
        self.name: str = record["name"]
        self.folder: Path = site.folder / "apps" / self.name
        self.attachments = Attachments(site)
        self.log = Log(self.folder / "app.log")
        self.runtime = Runtime(self.name, self.folder, self.log, site.ledger, self._exited)
        self.proxy = Proxy(site, record, self.log, self.runtime)
        self.state = ("UNAVAILABLE", "App has not been deployed yet. Run your app by deploying source code")
        self._changing = asyncio.Lock()
        self._closed = False

    async def open(self) -> None:
        """Opens the app's public port.

        Raises:
            DeployError: PORT_TAKEN.
        """
        await self.proxy.open(ports.listener(self.site.store, f"app:{self.name}"))

    async def close(self) -> None:
        """Ends the process, a deployment that is under way with it, and closes the port."""
        self._closed = True
        await self.proxy.close()
        await self._end()

    async def _end(self) -> None:
        await self.runtime.stop()  # a deployment that waits for it to listen fails now and gives way
        async with self._changing:
            await self.runtime.stop()

    def settle(self) -> None:
        """Deployments that the server's end cut off have failed."""
        if pending := self.record.pop("pending", None):
            self._finish(pending, "FAILED", "The embedded workspace ended during the deployment.")

    def _exited(self, code: int) -> None:
        self.state = ("CRASHED", f"App crashed with exit code {code}. Look at its log.")

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
        if self.record.get("pending"):
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
            "creator": creator,
            "create_time": now,
            "update_time": now,
            "status": {"state": "IN_PROGRESS", "message": "Deployment is in progress."},
        }
        self.record["deployments"][made["deployment_id"]] = made
        self.record["pending"] = made["deployment_id"]
        self.site.store.save()
        return made

    async def deploy(self, deployment_id: str) -> None:
        """Carries out an accepted deployment."""
        made = self.record["deployments"][deployment_id]
        try:
            async with self._changing:
                await asyncio.to_thread(self._snapshot, made)
                await self._run(made)
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

    def _ended(self, deployment_id: str, state: str, message: str) -> None:
        self.record.pop("pending", None)
        self._finish(deployment_id, state, message)
        if state == "FAILED":
            self.log.add("SYSTEM", f"Deployment {deployment_id} failed: {message}")
            if not self.runtime.running:
                self.state = (self.state[0] if self.state[0] == "CRASHED" else "UNAVAILABLE", message)
        self.site.store.save()

    def _finish(self, deployment_id: str, state: str, message: str) -> None:
        made = self.record["deployments"][deployment_id]
        made["status"] = {"state": state, "message": message}
        made["update_time"] = stamp(time.time())

    def source(self, deployment_id: str) -> Path:
        """Where a deployment's snapshot is."""
        return self.folder / "source" / deployment_id

    def _prune(self) -> None:
        """Only the last good deployment can be started again, by `start` or by the next `up`."""
        for folder in (self.folder / "source").iterdir():
            if folder.name != self.record["last"]:
                shutil.rmtree(folder, ignore_errors=True)

    def _snapshot(self, made: dict[str, Any]) -> None:
        shown = made["source_code_path"]
        self.log.add("SYSTEM", f"Deployment {made['deployment_id']}: taking a snapshot of {shown}")
        deployment.snapshot(self.site.files.place(shown), shown, self.source(made["deployment_id"]))

    async def _run(self, made: dict[str, Any]) -> None:
        """Replaces the running process by this deployment's; returns when its port accepts."""
        source = self.source(made["deployment_id"])
        manifest = await asyncio.to_thread(deployment.manifest, source)
        command = made["command"] or list(manifest.command)
        if not command:
            raise FailedDeploymentError("Neither app.yaml nor the deployment has a command.")
        port = ports.free()
        env = self.environment(manifest, made["env_vars"], port)
        # Unsure on the platform: whether the old process answers until the new one does. Here it does not.
        self.state = ("DEPLOYING", "Starting the app.")
        await self.runtime.stop()
        if self._closed or self.record["compute"] != "ACTIVE":
            raise FailedDeploymentError("The app was stopped during the deployment.")
        await asyncio.to_thread(self._clear_scratch)
        self.log.add("SYSTEM", f"Starting app with command: {command}")
        await self.runtime.start(command, source, env, port)
        if not await self.runtime.listening():
            raise FailedDeploymentError(self._why())
        self.state = ("RUNNING", "App is running.")
        self.log.add("SYSTEM", "App started successfully")

    def _clear_scratch(self) -> None:
        """The disk of an app is new at each start."""
        shutil.rmtree(self.runtime.scratch, ignore_errors=True)
        (self.runtime.scratch / "tmp").mkdir(parents=True)

    def _why(self) -> str:
        if self.runtime.running:
            return "App did not listen on DATABRICKS_APP_PORT within 10 minutes."
        last = " | ".join(self.log.last(3))
        return f"App crashed with exit code {self.runtime.exit_code} before it listened. Last output: {last}"

    def environment(
        self, manifest: deployment.Manifest, given: list[dict[str, str]], port: int
    ) -> dict[str, str]:
        """All that the process sees: the container's, the platform's, the database's, then the deployment's own."""
        principal = self.record["principal"]
        platform = {
            "DATABRICKS_APP_NAME": self.name,
            "DATABRICKS_APP_PORT": str(port),
            "DATABRICKS_HOST": self.site.url,
            "DATABRICKS_WORKSPACE_ID": self.site.identity.workspace_id,
            "DATABRICKS_CLIENT_ID": principal["client_id"],
            "DATABRICKS_CLIENT_SECRET": principal["client_secret"],
        }
        own = deployment.resolved(
            deployment.overlaid(manifest.env, given), self.attachments.values(self.record)
        )
        return (
            deployment.base(self.runtime.scratch) | platform | self.attachments.environment(self.record) | own
        )

    async def restart(self) -> None:
        """Runs the last good deployment again: after `start`, and after the server came up again."""
        last = self.record.get("last")
        if last is None:
            return
        async with self._changing:
            try:
                await self._run(self.record["deployments"][last])
                self.record["active"] = last
            except (FailedDeploymentError, ApiError, DeployError) as e:
                self.log.add("SYSTEM", f"App could not be started: {e}")
                self.state = ("CRASHED", str(e))
        self.site.store.save()

    async def start_compute(self) -> None:
        """STARTING → ACTIVE, and what was deployed last runs again."""
        await asyncio.sleep(_COMPUTE_SECONDS)
        await asyncio.to_thread(self.log.clear)
        self.record["compute"] = "ACTIVE"
        self.site.store.save()
        await self.restart()

    async def stop_compute(self) -> None:
        """STOPPING → STOPPED; the active deployment is forgotten in answers, as the platform does."""
        await self._end()
        await self.proxy.end_streams()
        await asyncio.sleep(_COMPUTE_SECONDS)
        self.record["compute"] = "STOPPED"
        self.record.pop("active", None)
        self.state = ("UNAVAILABLE", "App compute is stopped.")
        self.site.store.save()
