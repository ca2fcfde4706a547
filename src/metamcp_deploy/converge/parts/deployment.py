"""The deployment: whether what runs is the release with the settings of now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events
from metamcp_deploy.converge.part import Context, Part
from metamcp_deploy.converge.parts.app import fields
from metamcp_deploy.deployments import deployment, readiness, records
from metamcp_deploy.plan import OURS, Action, Change, Difference
from metamcp_deploy.release import releases
from metamcp_deploy.target import signing

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App


class DeploymentPart(Part):
    """What the app runs.

    Args:
        context: with the app as it was looked at.
        release: id; None while none is built.
        redeploy: deploy although that runs.
        message: kept in the record.
        trusted: as `deployment.deploy` takes it.
    """

    def __init__(
        self,
        context: Context,
        release: str | None,
        redeploy: bool = False,
        message: str | None = None,
        trusted: str | None = None,
    ) -> None:
        super().__init__(context)
        self.release, self.redeploy, self.message, self.trusted = release, redeploy, message, trusted

    def look(self) -> None:
        """One request, where the secrets' dates are not known yet."""
        if self.context.written is None and self.context.app is not None:
            self.context.written = self.context.workspace.secrets.written(self.context.desired.secrets.scope)

    @property
    def wanted(self) -> records.Wanted | None:
        """What should run; None before the app has an address, or without a release."""
        return None if self.release is None else self._with(self.release)

    def _with(self, release: str) -> records.Wanted | None:
        """These settings with a release; None before the app has an address."""
        app, desired = self.context.app, self.context.desired
        if app is None or not app.url:
            return None
        written = self.context.written or {}
        return records.Wanted(
            release=release,
            source_code_path=releases.path_of(self.context.site.root, release),
            env=desired.app.environment(app.url),
            resources=[dict(r) for r in desired.app.resources],
            # Another value needs another start.
            secrets={key: written[key] for key in sorted(desired.secrets.keys & set(written))},
        )

    def changes(self) -> tuple[Change, ...]:
        """The app's compute, where it must start, and the deployment."""
        app = self.context.app
        started: tuple[Change, ...] = ()
        if app is not None and app.compute in ("STOPPED", "ERROR", "STOPPING"):
            started = (Change(Action.START, "app compute", app.name, OURS, f"it is {app.compute}"),)
        return (*started, self._deployment())

    def _deployment(self) -> Change:
        app, deployed = self.context.app, self.context.deployed
        name = f"of release {self.release or 'that is not built yet'}"
        wanted = self._with(self.release or str(deployed.get("release") or ""))
        if app is None or wanted is None or (app.active is None and app.pending is None):
            return Change(Action.DEPLOY, "deployment", name, OURS, "nothing runs")
        if app.active is None or self.context.record is None:
            return Change(Action.DEPLOY, "deployment", name, OURS, "what runs was not deployed by this tool")
        if self.release is None:
            differing = tuple(differences(deployed, wanted))
            return Change(Action.DEPLOY, "deployment", name, OURS, "once it is built", differing)
        record = self.context.record
        if not record.signed and (self.context.signs_anew or not records.proves(self.context.site, record)):
            why = "the record of what runs is not signed: somebody else may have written it"
            if signing.of(self.context.site).refused:
                why = "this login may not read the key that signs the record of what runs"
            return Change(Action.DEPLOY, "deployment", name, OURS, why, tuple(differences(deployed, wanted)))
        if records.matches(self.context.record, wanted):
            if self.redeploy:
                return Change(Action.DEPLOY, "deployment", name, OURS, self._overlapping("--redeploy"))
            if app.state == "RUNNING" and deployed.get("outcome") == "IN_PROGRESS":
                why = "it ran to its end without the run that began it: its record is completed"
                return Change(Action.WAIT, "deployment", app.active.id, OURS, why)
            if app.state == "RUNNING":
                return Change(Action.KEEP, "deployment", app.active.id, OURS)
            return Change(
                Action.DEPLOY, "deployment", name, OURS, f"the app is {app.state or 'in no known state'}"
            )
        differing = tuple(differences(deployed, wanted))
        return Change(Action.DEPLOY, "deployment", name, OURS, self._overlapping(""), differing)

    def _overlapping(self, why: str) -> str:
        """With a health check the previous deployment goes on meanwhile, on a schema that is migrated."""
        overlap = readiness.OVERLAP if self.context.settings.app.health_check else ""
        return "; ".join(filter(None, (why, overlap)))

    @property
    def app(self) -> App:
        """The app, which exists."""
        if self.context.app is None:
            raise RuntimeError("a deployment before there is an app")
        return self.context.app

    def keep(self) -> None:
        """Reports that what runs is what is wanted; `done` is that deployment."""
        active, record = self.app.active, self.context.record
        if active is None or record is None:
            raise RuntimeError("nothing runs that could be kept")
        self.done = deployment.Done(active.id, record.path, new=False)
        events.emit(events.Changed("kept", "deployment", active.id))

    def apply(self) -> None:
        """Deploys, and follows the deployment, `done`, to its end."""
        if (wanted := self.wanted) is None:
            raise RuntimeError("a deployment without a release")
        desired = self.context.desired
        self.done = deployment.deploy(
            self.context.site,
            self.app,
            wanted,
            message=self.message,
            redeploy=self.redeploy,
            trusted=self.trusted,
            more={"desired": fields.for_record(desired.app) | {"database": desired.database.stated}},
        )


def differences(before: Mapping[str, Any], wanted: records.Wanted) -> list[Difference]:
    """What is other than in the running deployment: the release, variables, resources, values of secrets."""
    found = []
    if before.get("release") != wanted.release:
        found.append(Difference("release", before.get("release"), wanted.release))
    old = {e["name"]: _valued(e) for e in before.get("env") or []}
    new = {e["name"]: _valued(e) for e in wanted.env}
    found += [Difference(f"env.{n}", old.get(n), new.get(n)) for n in _differing(old, new)]
    old = {r["name"]: fields.described(r) for r in before.get("resources") or []}
    new = {r["name"]: fields.described(r) for r in wanted.resources}
    found += [Difference(f"resources.{n}", old.get(n), new.get(n)) for n in _differing(old, new)]
    written = before.get("secrets") or {}
    for key in _differing(written, wanted.secrets):
        found.append(Difference(f"secret.{key}", "the value at its start", "another value, written since"))
    return found


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def _valued(variable: Mapping[str, str]) -> str:
    return variable["value"] if "value" in variable else f"from resource {variable.get('value_from')}"
