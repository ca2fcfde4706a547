"""A new value for a secret, and the running app started again with it.

A run that is killed between the two loses nothing: `app-deploy`, too, sees what was written since the app
started.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from metamcp_deploy import events
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.converge.parts.scope import random_value
from metamcp_deploy.deployments import deploy_intent, deployment, records
from metamcp_deploy.plan import Action, Change, Plan
from metamcp_deploy.secrets import keys
from metamcp_deploy.target import ledger, locate, protection, session, signing
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.deployments.records import Record
    from metamcp_deploy.workspace.apps import App

# MetaMCP v2.4.22 signs its session cookies and the state of a single sign-on with it, and Next's keys are derived from
# it; nothing in the database is encrypted with it.
_OF_AUTH = (
    "Everybody is signed out, and a sign-in that is under way fails; pages that are open have to be loaded again. "
    "Accounts, passwords, API keys and MCP servers stay as they are: nothing stored is encrypted with it."
)

_OF_SIGNING = (
    "Records and ledger that it signed are signed again with the new one; those that nobody signed stay as they are. "
    "Whoever knew the old one signs nothing any more."
)


@dataclass(frozen=True)
class Rotation:
    """What a rotation is about, as just looked at.

    Attributes:
        kept: the scope.
        name: the key.
        app: the app; None while there is none.
        running: the record of what runs; None where nothing does, or no record can be believed about it.
    """

    kept: keys.Contents
    name: str
    app: App | None
    running: Record | None

    @property
    def of_auth(self) -> bool:
        """Whether it is the secret that signs sign-ins."""
        return self.name == self.kept.auth

    @property
    def of_signing(self) -> bool:
        """Whether it is the key that signs records and ledger."""
        return self.name == signing.KEY

    @property
    def generated(self) -> bool:
        """Whether its new value is a random one unless another is given."""
        return self.of_auth or self.of_signing

    @property
    def consequence(self) -> str:
        """What people notice, in words."""
        if self.of_auth:
            return _OF_AUTH
        if self.of_signing:
            return _OF_SIGNING
        used = " and ".join(self.kept.key(self.name).uses) or "nothing of this target"
        return f"It is used for {used}: the old value is gone, and nothing brings it back."

    def plan(self) -> Plan:
        """The new value, and the deployment that gives it to the app."""
        there = self.kept.key(self.name).written is not None
        action = Action.CHANGE if there else Action.CREATE
        secret = Change(action, "secret", f"{self.kept.scope}/{self.name}", reason="a new value")
        if self.running is None or self.app is None or self.of_signing:
            return Plan((secret,))
        what = f"release {self.running.release} starts again with it"
        return Plan((secret, Change(Action.DEPLOY, "app", self.app.name, reason=what)))


def look(site: Site, name: str | None) -> Rotation:
    """What a rotation would be about; only reads.

    Args:
        site: of the target.
        name: the key; None for the secret that signs sign-ins.

    Raises:
        DeployError: CONFIG_CONFLICT for a scope that is not written to; TARGET_PROTECTED.
    """
    protection.allow(site.project)
    kept = keys.look(site)
    name = name or kept.auth
    keys.writable(site, kept, name)
    app = site.workspace.apps.find(site.project.settings.app.name)
    running = None
    if app is not None and app.active is not None and app.compute == "ACTIVE":
        found = records.find(site, app.active.id)
        running = found if found and records.proves(site, found) else None
    return Rotation(kept, name, app, running)


def rotate(
    site: Site, name: str | None = None, value: Secret | None = None, *, force_lock: bool = False
) -> str | None:
    """Writes a new value and starts the app again with it; gives the deployment's id, None where nothing runs.

    Args:
        site: of the target.
        name: the key; None for the secret that signs sign-ins.
        value: the new one; a random one when None.
        force_lock: take the target's lock although somebody holds it.

    Raises:
        DeployError: as `look`; LOCK_HELD; USAGE for a value that is too short; those of a deployment.
    """
    with session.locked(site, force_lock):
        found = look(site, name)
        value = value or random_value()
        keys.fitting(found.name, value, signs=found.generated)
        if found.of_signing:
            _signed_again(site, found, value)
            return None
        if found.running is not None:  # before the secret is another one
            deployment.check(site, found.running.release)
        keys.write(site, found.kept, found.name, value)
        if found.running is None or found.app is None:
            _explain(site, found)
            return None
        written = site.workspace.secrets.written(found.kept.scope) or {}
        wanted = found.running.wanted
        wanted = replace(wanted, secrets={k: written[k] for k in wanted.secrets if k in written})
        # What a rollback left (the database as of a moment) goes on, and so does what the settings stated.
        more = {k: found.running.raw[k] for k in ("restored", "desired") if found.running.raw.get(k)}
        done = deployment.deploy(
            site, found.app, wanted, message=f"{found.name} rotated", redeploy=True, more=more
        )
        return done.id


def _signed_again(site: Site, found: Rotation, value: Secret) -> None:
    """A new key, and all that the old one signed signed with it; a killed run leaves both as valid."""
    scope, store = found.kept.scope, site.workspace.secrets
    files = [ledger.path_of(site.root), deploy_intent.path_of(site.root), *records.paths(site)]
    sign = signing.again(site, files)
    if before := store.get(scope, signing.KEY):
        store.put(scope, signing.KEY, Secret(f"{value.reveal()} {before.reveal()}"))
        sign()
    keys.write(site, found.kept, signing.KEY, value)


def _explain(site: Site, found: Rotation) -> None:
    """Why nothing was deployed."""
    called = locate.called(site.project)
    app = found.app
    if app is not None and app.state == "CRASHED":
        text = f"The app {app.name} has crashed: it gets the new value when it starts."
        events.emit(events.Warned(text, f"metamcp-deploy start {called}"))
    elif app is None or (app.active is None and app.compute == "ACTIVE"):
        events.emit(events.Note("No app runs yet: its first deployment gets the new value."))
    elif app.compute != "ACTIVE":
        events.emit(
            events.Note(f"The app {app.name} is {app.compute}: it gets the new value when it starts.")
        )
    else:
        text = (
            f"No record that this tool signed says what runs in {app.name}: it keeps the old value until it starts "
            "again."
        )
        events.emit(events.Warned(text, f"metamcp-deploy stop {called} && metamcp-deploy start {called}"))
