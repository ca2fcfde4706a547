"""Databricks Apps: reading, creating, changing, starting, deploying.

Answers stay as they came: the SDK's enums know unknown states as None, and an app's resources are sent back with
fields that are newer than the SDK. Waiting is `clock.poll`'s, not the SDK's `Wait`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import services
from metamcp_deploy.workspace.retries import REFUSED
from metamcp_deploy.workspace.services import content, optional
from metamcp_deploy.workspace.transport import Transport

if TYPE_CHECKING:
    from databricks.sdk.service.apps import AppsAPI

NO_PROCESS = frozenset({"STOPPED", "DELETING", "ERROR"})
DEPLOYMENT_ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_PAGE = 100  # deployments in one answer


@dataclass(frozen=True)
class Deployment:
    """One deployment as the workspace reports it (without values of its environment)."""

    raw: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.raw.get("deployment_id", ""))

    @property
    def state(self) -> str:
        """SUCCEEDED, FAILED, IN_PROGRESS, CANCELLED, or what else the platform says."""
        return str((self.raw.get("status") or {}).get("state", ""))

    @property
    def message(self) -> str:
        """What the platform says about the state."""
        return str((self.raw.get("status") or {}).get("message", ""))

    @property
    def source_code_path(self) -> str:
        """Where its code was taken from."""
        return str(self.raw.get("source_code_path", ""))

    @property
    def snapshot(self) -> str:
        """The platform's own copy of that, which runs; empty where it does not say."""
        return str((self.raw.get("deployment_artifacts") or {}).get("source_code_path") or "")

    @property
    def creator(self) -> str:
        """Who started it."""
        return str(self.raw.get("creator") or "")

    @property
    def create_time(self) -> float | None:
        """Seconds since the epoch on the workspace's clock, None when it does not say."""
        try:
            return datetime.fromisoformat(str(self.raw.get("create_time"))).timestamp()
        except ValueError:
            return None


@dataclass(frozen=True)
class App:
    """An app as the workspace reports it."""

    raw: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.raw["name"])

    @property
    def url(self) -> str:
        """Its public origin, empty while it has none."""
        return str(self.raw.get("url") or "").rstrip("/")

    @property
    def compute(self) -> str:
        """ACTIVE, STARTING, STOPPED, ..."""
        return str((self.raw.get("compute_status") or {}).get("state", ""))

    @property
    def compute_message(self) -> str:
        """What the platform says about the compute."""
        return str((self.raw.get("compute_status") or {}).get("message", ""))

    @property
    def state(self) -> str:
        """RUNNING, CRASHED, DEPLOYING, UNAVAILABLE, ..."""
        return str((self.raw.get("app_status") or {}).get("state", ""))

    @property
    def message(self) -> str:
        """What the platform says about the app."""
        return str((self.raw.get("app_status") or {}).get("message", ""))

    @property
    def principal(self) -> str:
        """Client id of the app's service principal."""
        return str(self.raw.get("service_principal_client_id") or "")

    @property
    def active(self) -> Deployment | None:
        """The deployment that runs."""
        return _deployment(self.raw.get("active_deployment"))

    @property
    def deployed(self) -> bool:
        """Whether anything was ever deployed to it, as far as the workspace reports."""
        return bool(self.active or self.raw.get("default_source_code_path"))

    @property
    def pending(self) -> Deployment | None:
        """The deployment under way."""
        return _deployment(self.raw.get("pending_deployment"))

    @property
    def resources(self) -> list[dict[str, Any]]:
        """Its resources, as the API spells them."""
        return list(self.raw.get("resources") or [])


class Apps:
    """Apps of a workspace."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def _service(self) -> AppsAPI:
        return services.apps(self._transport)

    @property
    def _changing(self) -> AppsAPI:
        return services.apps(self._transport.sure())

    def find(self, name: str) -> App | None:
        """The app, None when there is none of that name."""
        raw = optional(lambda: self._transport.answer(lambda: self._service.get(name)))
        if raw is None:
            return None
        if raw.get("name") != name:
            raise DeployError(
                Code.WORKSPACE_ANSWER,
                f"{self._transport.host} was asked for the app {name} and answered with something that is not that "
                "app.",
                hint="Check workspace.host (or the profile's host): it is the origin of a workspace.",
                detail=str(raw)[:300],
            )
        return App(raw)

    def get(self, name: str) -> App:
        """The app.

        Raises:
            DeployError: NOT_FOUND.
        """
        app = self.find(name)
        if app is None:
            raise DeployError(
                Code.NOT_FOUND,
                f"There is no app {name} in {self._transport.host}.",
                hint="Make it with `metamcp-deploy deploy`, or name another target with -t (or --app).",
            )
        return app

    def names(self) -> list[str]:
        """Names of the apps that this login may see."""
        return [str(app.name) for app in self._service.list(page_size=_PAGE)]

    def all(self) -> list[App]:
        """The apps that this login may see."""
        pages = self._transport.answers(lambda: list(self._service.list(page_size=_PAGE)))
        return [App(raw) for page in pages for raw in page.get("apps") or []]

    def create(self, name: str, fields: Mapping[str, Any]) -> App:
        """Creates an app without compute: it gets its URL and principal, and costs nothing yet."""
        wanted = content("apps", "App", {"name": name, **fields})
        return App(self._transport.answer(lambda: self._service.create(wanted, no_compute=True)))

    def update(self, name: str, changes: Mapping[str, Any]) -> None:
        """Begins to change fields of an app and nothing else; `update_state` reports when it is done."""
        mask, wanted = ",".join(sorted(changes)), content("apps", "App", {"name": name, **changes})
        self._transport.answer(lambda: self._changing.create_update(name, mask, app=wanted))

    def update_state(self, name: str) -> tuple[str, str]:
        """State (SUCCEEDED, FAILED, IN_PROGRESS, NOT_UPDATED) and message of the last change."""
        status = self._transport.answer(lambda: self._service.get_update(name)).get("status") or {}
        return str(status.get("state", "")), str(status.get("message", ""))

    def start(self, name: str) -> None:
        """Begins to start the compute, and with it the last deployment. One that is started is fine."""
        self._switch(name, lambda: self._changing.start(name), "ACTIVE", "STARTING", "UPDATING")

    def stop(self, name: str) -> None:
        """Begins to stop the compute. One that is stopped is fine."""
        self._switch(name, lambda: self._changing.stop(name), "STOPPED", "STOPPING")

    def _switch(self, name: str, call: Callable[[], object], *reached: str) -> None:
        """Makes a call; a refusal counts for nothing where the compute is in one of these states already."""
        try:
            self._transport.answer(call)
        except DeployError as e:
            if e.code not in REFUSED or self.get(name).compute not in reached:
                raise

    def delete(self, name: str) -> None:
        """Begins to delete an app, which takes up to 20 minutes. One that is gone or being deleted is fine."""
        try:
            optional(lambda: self._changing.delete(name))
        except DeployError as e:
            app = self.find(name) if e.code in REFUSED else None
            if app is None or app.compute != "DELETING":
                raise

    def deploy(
        self,
        name: str,
        source_code_path: str,
        env: Iterable[Mapping[str, str]],
        health_check: Mapping[str, str] | None = None,
    ) -> Deployment:
        """Begins a deployment of a snapshot of the path, with this environment in place of app.yaml's.

        With `health_check` (`path`, `timeout`) it succeeds once a GET of that path gives 200.
        """
        fields = {
            "mode": "SNAPSHOT",
            "source_code_path": source_code_path,
            "env_vars": [dict(e) for e in env],
            **({"health_check": dict(health_check)} if health_check else {}),
        }
        wanted = content("apps", "AppDeployment", fields)
        once = services.apps(self._transport.once().sure())
        return Deployment(self._transport.answer(lambda: once.deploy(name, wanted)))

    def deployment(self, name: str, deployment_id: str) -> Deployment:
        """One deployment."""
        return Deployment(self._transport.answer(lambda: self._service.get_deployment(name, deployment_id)))

    def deployments(self, name: str, count: int | None = None) -> list[Deployment]:
        """Deployments of an app, newest first; all that the workspace knows, or so many."""
        size = min(count or _PAGE, _PAGE)
        pages = self._transport.answers(
            lambda: list(islice(self._service.list_deployments(name, page_size=size), count))
        )
        listed = [Deployment(raw) for page in pages for raw in page.get("app_deployments") or []]
        listed.sort(key=lambda one: one.create_time or 0.0, reverse=True)
        return listed[:count]


def _deployment(raw: Mapping[str, Any] | None) -> Deployment | None:
    return Deployment(raw) if raw else None
