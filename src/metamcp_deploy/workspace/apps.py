"""Databricks Apps: reading, making, changing, starting, deploying. States stay plain text, so that new ones pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace.api import Api

NO_PROCESS = frozenset({"STOPPED", "DELETING", "ERROR"})
DEPLOYMENT_ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_PAGE = 100  # deployments in one answer


@dataclass(frozen=True)
class Deployment:
    """One deployment as the workspace tells it (without values of its environment)."""

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
    def creator(self) -> str:
        """Who began it."""
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
    """An app as the workspace tells it."""

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
    def principal(self) -> str:
        """Client id of the app's service principal."""
        return str(self.raw.get("service_principal_client_id") or "")

    @property
    def active(self) -> Deployment | None:
        """The deployment that runs."""
        found = self.raw.get("active_deployment")
        return Deployment(found) if found else None

    @property
    def deployed(self) -> bool:
        """Whether anything was ever deployed to it, as far as it tells."""
        return bool(self.active or self.raw.get("default_source_code_path"))

    @property
    def pending(self) -> Deployment | None:
        """The deployment under way."""
        found = self.raw.get("pending_deployment")
        return Deployment(found) if found else None

    @property
    def resources(self) -> list[dict[str, Any]]:
        """Its resources, as the API spells them."""
        return list(self.raw.get("resources") or [])


class Apps:
    """Apps of a workspace."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def find(self, name: str) -> App | None:
        """The app, None when there is none of that name."""
        try:
            found = self._api.call("GET", f"/api/2.0/apps/{name}")
        except DeployError as e:
            if e.code is Code.NOT_FOUND:
                return None
            raise
        if found.get("name") != name:
            raise DeployError(
                Code.WORKSPACE_ANSWER,
                f"{self._api.host} was asked for the app {name} and answered with something that is not that app.",
                hint="Check workspace.host (or the profile's host): it is the origin of a workspace.",
                detail=str(found)[:300],
            )
        return App(found)

    def get(self, name: str) -> App:
        """The app.

        Raises:
            DeployError: NOT_FOUND.
        """
        found = self.find(name)
        if found is None:
            raise DeployError(
                Code.NOT_FOUND,
                f"There is no app {name} in {self._api.host}.",
                hint="Make it with `metamcp-deploy deploy`, or name another target with -t (or --app).",
            )
        return found

    def names(self) -> list[str]:
        """Names of the apps that this login may see."""
        found: list[str] = []
        token = ""
        while True:
            query = {"page_size": _PAGE, **({"page_token": token} if token else {})}
            answer = self._api.call("GET", "/api/2.0/apps", query=query)
            found += [str(one["name"]) for one in answer.get("apps") or []]
            token = answer.get("next_page_token") or ""
            if not token:
                return found

    def create(self, name: str, body: Mapping[str, Any]) -> App:
        """Makes an app without compute: it gets its URL and principal, and costs nothing yet."""
        return App(
            self._api.call("POST", "/api/2.0/apps", query={"no_compute": "true"}, body={"name": name, **body})
        )

    def update(self, name: str, changes: Mapping[str, Any]) -> None:
        """Begins to change fields of an app and nothing else; `update_state` tells when it is done."""
        body = {"app": {"name": name, **changes}, "update_mask": ",".join(sorted(changes))}
        self._api.call("POST", f"/api/2.0/apps/{name}/update", body=body)

    def update_state(self, name: str) -> tuple[str, str]:
        """State (SUCCEEDED, FAILED, IN_PROGRESS, NOT_UPDATED) and message of the last change."""
        status = self._api.call("GET", f"/api/2.0/apps/{name}/update").get("status") or {}
        return str(status.get("state", "")), str(status.get("message", ""))

    def start(self, name: str) -> None:
        """Begins to start the compute, and with it the last deployment. One that is started is fine."""
        try:
            self._api.call("POST", f"/api/2.0/apps/{name}/start", body={})
        except DeployError as e:
            refused = e.code in (Code.REQUEST_REFUSED, Code.ALREADY_EXISTS)
            if not refused or self.get(name).compute not in ("ACTIVE", "STARTING", "UPDATING"):
                raise

    def stop(self, name: str) -> None:
        """Begins to stop the compute. One that is stopped is fine."""
        try:
            self._api.call("POST", f"/api/2.0/apps/{name}/stop", body={})
        except DeployError as e:
            refused = e.code in (Code.REQUEST_REFUSED, Code.ALREADY_EXISTS)
            if not refused or self.get(name).compute not in ("STOPPED", "STOPPING"):
                raise

    def delete(self, name: str) -> None:
        """Begins to delete an app, which takes up to 20 minutes. One that is gone or being deleted is fine."""
        try:
            self._api.call("DELETE", f"/api/2.0/apps/{name}")
        except DeployError as e:
            if e.code is Code.NOT_FOUND:
                return
            found = self.find(name) if e.code is Code.REQUEST_REFUSED else None
            if found is None or found.compute != "DELETING":
                raise

    def deploy(self, name: str, source_code_path: str, env: Iterable[Mapping[str, str]]) -> Deployment:
        """Begins a deployment of a snapshot of the path, with this environment in place of app.yaml's."""
        body = {"mode": "SNAPSHOT", "source_code_path": source_code_path, "env_vars": [dict(e) for e in env]}
        return Deployment(
            self._api.call("POST", f"/api/2.0/apps/{name}/deployments", body=body, repeatable=False)
        )

    def deployment(self, name: str, deployment_id: str) -> Deployment:
        """One deployment."""
        return Deployment(self._api.call("GET", f"/api/2.0/apps/{name}/deployments/{deployment_id}"))

    def deployments(self, name: str, count: int | None = None) -> list[Deployment]:
        """Deployments of an app, newest first; all that the workspace knows, or so many."""
        found: list[Deployment] = []
        token = ""
        while count is None or len(found) < count:
            query = {"page_size": min(count or _PAGE, _PAGE), **({"page_token": token} if token else {})}
            answer = self._api.call("GET", f"/api/2.0/apps/{name}/deployments", query=query)
            found += [Deployment(one) for one in answer.get("app_deployments") or []]
            token = answer.get("next_page_token") or ""
            if not token:
                break
        found.sort(key=lambda one: one.create_time or 0.0, reverse=True)
        return found[:count]
