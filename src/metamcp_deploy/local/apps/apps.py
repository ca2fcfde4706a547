"""The apps of the workspace: their records, principals, resources, and the slow changes that run in the background."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import time
import uuid
from typing import Any

from metamcp_deploy.container.ports import HOST
from metamcp_deploy.local.access_lists import holder
from metamcp_deploy.local.api.errors import ApiError, conflict, exists, invalid, missing
from metamcp_deploy.local.apps.app import App
from metamcp_deploy.local.apps.attachments import Attachments
from metamcp_deploy.local.apps.fields import check_instances, settable
from metamcp_deploy.local.context import Context
from metamcp_deploy.local.tasks import Tasks
from metamcp_deploy.local.timing import stamp

_NAME = re.compile(r"[a-z][a-z0-9-]{1,29}")
_MOST = 100


class Apps:
    """All apps. A record's `spec` is what a client wrote, the rest is the platform's."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.records = context.store.family("apps")
        self.attachments = Attachments(context)
        self.hosted: dict[str, App] = {}
        self.updating: set[str] = set()  # names of apps whose change is under way
        self.tasks = Tasks()

    def record(self, name: str) -> dict[str, Any]:
        """An app's record.

        Raises:
            ApiError: 404.
        """
        record: dict[str, Any] | None = self.records.get(name)
        if record is None:
            raise missing(f"App with name {name} does not exist or is deleted.")
        return record

    async def resume(self) -> None:
        """After a restart of the server: the ports open again, what ran runs again, what was cut off is settled.

        Raises:
            DeployError: PORT_TAKEN, before any app was started.
        """
        for name, record in list(self.records.items()):
            self.hosted[name] = App(self.context, record)
            await self.hosted[name].open()
        for name, record in list(self.records.items()):
            if record["compute"] == "DELETING":
                self.tasks.start(self._delete(name))
                continue
            record["compute"] = {"STARTING": "ACTIVE", "STOPPING": "STOPPED"}.get(
                record["compute"], record["compute"]
            )
            self.hosted[name].settle()
            if record["compute"] == "ACTIVE":
                self.tasks.start(self.hosted[name].restart())
        self.context.store.save()

    def restart_crashed(self) -> list[str]:
        """Begins to run apps again whose process ended by itself; their names."""
        names = [name for name, hosted in self.hosted.items() if hosted.crashed]
        for name in names:
            self.tasks.start(self.hosted[name].restart())
        return names

    async def close(self) -> None:
        """Ends every app and its port; they stay ACTIVE in the record, so that the next `up` starts them again."""
        await self.tasks.cancel()
        await asyncio.gather(*(h.close() for h in self.hosted.values()))

    async def create(self, data: dict[str, Any], *, compute: bool, creator: str) -> dict[str, Any]:
        """Makes an app with its principal and its port.

        Raises:
            ApiError: 400 for a name or resource the platform refuses, 409 when it exists or is being deleted.
        """
        name = str(data.get("name") or "")
        if not _NAME.fullmatch(name):
            raise invalid(
                f"App name {name!r} must begin with a lower-case letter, hold only lower-case letters, digits and "
                "hyphens, and be 2 to 30 characters long."
            )
        if name in self.records:
            deleting = self.records[name]["compute"] == "DELETING"
            raise exists(
                f"App {name} is being deleted."
                if deleting
                else f"An app with the same name already exists: {name}"
            )
        if len(self.records) >= _MOST:
            raise ApiError(400, "RESOURCE_LIMIT_EXCEEDED", f"A workspace holds at most {_MOST} apps.")
        spec = settable(data)
        check_instances(spec)
        await self.attachments.check(spec)
        if name in self.records:  # somebody was faster
            raise exists(f"An app with the same name already exists: {name}")
        now = stamp(time.time())
        self.records[name] = record = {
            "name": name,
            "id": str(uuid.uuid4()),
            "spec": spec,
            "principal": {
                "id": 70_000_000_000_000 + secrets.randbelow(10**13),
                "name": f"app-{uuid.uuid4().hex[:6]} {name}",
                "client_id": str(uuid.uuid4()),
                "client_secret": "dose" + secrets.token_hex(16),
            },
            "creator": creator,
            "updater": creator,
            "create_time": now,
            "update_time": now,
            "compute": "STOPPED",
            "deployments": {},
            "acl": {holder(creator): "CAN_MANAGE"},
        }
        self.hosted[name] = App(self.context, record)
        await self.hosted[name].open()
        await self.attachments.apply(record)
        if compute:
            self.start(name)
        self.context.store.save()
        return record

    async def updated(self, name: str) -> None:
        """The end of a change that `update_mask` asked for."""
        await self.context.timing.passes("app.update")
        self.updating.discard(name)
        if record := self.records.get(name):
            record["update"]["status"] = {"state": "SUCCEEDED", "message": "Update is complete."}
            self.context.store.save()

    async def update(self, name: str, spec: dict[str, Any], updater: str) -> None:
        """Replaces what a client can set; grants follow the resources.

        Raises:
            ApiError: 400, 404.
        """
        record = self.record(name)
        check_instances(spec)
        await self.attachments.check(spec)
        before = record["spec"]
        record |= {"spec": spec, "updater": updater, "update_time": stamp(time.time())}
        await self.attachments.apply(record, before)
        self.context.store.save()

    def start(self, name: str) -> dict[str, Any]:
        """Starts the compute; what was deployed last runs again.

        Raises:
            ApiError: 400 with "already", when there is nothing to start.
        """
        record = self.record(name)
        if record["compute"] not in ("STOPPED", "ERROR"):
            raise conflict(f"Compute for app {name} is already {record['compute']}.")
        record["compute"] = "STARTING"
        self.context.store.save()
        self.tasks.start(self.hosted[name].start_compute())
        return record

    async def broken(self, name: str) -> None:
        """Puts the compute in ERROR: it can be started or deleted then."""
        record = self.record(name)
        record["compute"] = "ERROR"
        await self.hosted[name].stop_process("App compute is in error.")
        self.context.store.save()

    def stop(self, name: str) -> dict[str, Any]:
        """Stops the compute, and with it the app and its log.

        Raises:
            ApiError: 400 with "already".
        """
        record = self.record(name)
        if record["compute"] != "ACTIVE":
            raise conflict(f"Compute for app {name} is already {record['compute']}.")
        record["compute"] = "STOPPING"
        self.context.store.save()
        self.tasks.start(self.hosted[name].stop_compute())
        return record

    def delete(self, name: str) -> dict[str, Any]:
        """Begins to delete an app: it is DELETING for a while.

        Raises:
            ApiError: 404; 400 when it is being deleted already.
        """
        record = self.record(name)
        if record["compute"] == "DELETING":
            raise ApiError(
                400,
                "BAD_REQUEST",
                f"Cannot delete app {name} as it is not terminal with state DELETING, and was updated less than 20 "
                "minutes ago. Please wait before trying again.",
            )
        record["compute"] = "DELETING"
        self.context.store.save()
        self.tasks.start(self._delete(name))
        return record

    async def _delete(self, name: str) -> None:
        hosted = self.hosted[name]
        await hosted.close()
        await self.context.timing.passes("app.delete")
        await self.attachments.withdraw(hosted.record)
        await asyncio.to_thread(shutil.rmtree, hosted.folder, ignore_errors=True)
        del self.hosted[name], self.records[name]
        self.context.store.family("ports").pop(f"app:{name}", None)
        self.context.store.save()

    def url(self, name: str) -> str:
        """The app's public origin."""
        return f"http://{HOST}:{self.context.store.family('ports')[f'app:{name}']}"
