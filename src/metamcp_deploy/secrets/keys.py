"""The secrets of a target: what its scope holds and what uses it, and writing one. Values are never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metamcp_deploy import events
from metamcp_deploy.config.secret import Secret, placeholder, weakness
from metamcp_deploy.converge.parts.scope import lack_hint, random_value, uses
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import ELSEWHERE, Action, Change, Plan
from metamcp_deploy.target import ledger, locate, session, signing
from metamcp_deploy.target.site import Site
from metamcp_deploy.target.variables import AUTH_RESOURCE

if TYPE_CHECKING:
    from metamcp_deploy.workspace.secrets import Scope

_SIGNS = "signature of records and ledger"
LONGEST_BYTES = 131_072  # of a value, by the platform


@dataclass(frozen=True)
class Key:
    """One key: the settings (or the app's resources) that use it, and when it was last written, if it is there.

    Attributes:
        written: milliseconds since the epoch, 0 where the workspace does not say; None for one that is missing.
    """

    name: str
    uses: tuple[str, ...]
    written: int | None


@dataclass(frozen=True)
class Contents:
    """The contents of a target's scope.

    Attributes:
        scope: its name.
        exists: whether it does.
        vault: the address of the Azure Key Vault behind it, which makes it read-only; None without.
        managed: False when the settings say that it is somebody else's.
        auth: the key of the secret that signs sign-ins.
        keys: those that the target uses, then all others.
    """

    scope: str
    exists: bool
    vault: str | None
    managed: bool
    auth: str
    keys: tuple[Key, ...]

    def key(self, name: str) -> Key:
        """One of the keys; one that nothing uses and that is not there, too."""
        return next((key for key in self.keys if key.name == name), Key(name, (), None))


def look(site: Site) -> Contents:
    """What there is; only reads.

    Raises:
        DeployError: PERMISSION_DENIED without READ on the scope; those of the login.
    """
    scope, auth, used = _place(site)
    found: Scope | None = site.workspace.secrets.scope(scope)
    written = site.workspace.secrets.written(scope) or {} if found else {}
    names = [*sorted(used), *sorted(set(written) - set(used))]
    return Contents(
        scope,
        found is not None,
        found.vault if found else None,
        site.project.settings.secrets.managed,
        auth,
        tuple(Key(name, tuple(used.get(name, ())), written.get(name)) for name in names),
    )


def _place(site: Site) -> tuple[str, str, Mapping[str, list[str]]]:
    """Scope, the key that signs sign-ins, and what uses which key; without a configuration by the app's resources."""
    settings = site.project.settings
    if not site.project.bare:
        return (
            settings.secret_scope,
            settings.secrets.better_auth_secret,
            uses(settings) | {signing.KEY: [_SIGNS]},
        )
    resources = [
        r for r in site.workspace.apps.get(settings.app.name).resources if isinstance(r.get("secret"), dict)
    ]
    auth = next((r["secret"] for r in resources if r["name"] == AUTH_RESOURCE), None)
    if auth is None:
        raise DeployError(
            Code.NOT_FOUND,
            f"The app {settings.app.name} has no resource {AUTH_RESOURCE}, which would name its secret scope.",
            hint="Run the command in the folder of its metamcp.yaml, with -t TARGET instead of --app.",
        )
    used: dict[str, list[str]] = {signing.KEY: [_SIGNS]}
    for resource in resources:
        if resource["secret"]["scope"] == auth["scope"]:
            used.setdefault(resource["secret"]["key"], []).append(f"resource {resource['name']}")
    return str(auth["scope"]), str(auth["key"]), used


def writable(site: Site, kept: Contents, name: str) -> None:
    """Refuses to write into a scope that is read-only or somebody else's.

    Raises:
        DeployError: CONFIG_CONFLICT.
    """
    if kept.managed and kept.vault is None:
        return
    why = (
        f"shows the Azure Key Vault {kept.vault}"
        if kept.vault
        else f"is {ELSEWHERE} (secrets.managed: false)"
    )
    raise DeployError(
        Code.CONFIG_CONFLICT,
        f"The secret scope {kept.scope} of {site.workspace.host} {why}: nothing is written to it from here.",
        hint=lack_hint(name, kept.scope, site.project.settings.target, kept.managed, kept.vault),
    )


def settable(site: Site, name: str) -> Contents:
    """What there is, where `store` may write the key; only reads.

    Raises:
        DeployError: CONFIG_CONFLICT, for a scope that is not written to, and for a stored secret that signs sign-ins
            or records.
    """
    kept = look(site)
    writable(site, kept, name)
    if name in (kept.auth, signing.KEY) and kept.key(name).written is not None:
        rotate = f"metamcp-deploy secrets rotate {locate.called(site.project)}"
        if name == signing.KEY:
            rotate = f"metamcp-deploy secrets rotate {name} {locate.called(site.project)}"
        lost = "everybody is signed out" if name == kept.auth else "no record of before counts as signed"
        raise DeployError(
            Code.CONFIG_CONFLICT,
            f"The secret {kept.scope}/{name} is stored already, and with another value {lost}.",
            hint=f"To replace it with all that goes with it: {rotate}",
        )
    return kept


def plan(site: Site, kept: Contents, name: str) -> Plan:
    """What writing a key would do."""
    made = ledger.read(site)
    there = kept.key(name).written is not None
    scope = Change(
        Action.KEEP if kept.exists else Action.CREATE,
        "secret scope",
        kept.scope,
        made.owner("scope", kept.scope),
    )
    if there:
        owner = made.owner("secrets", f"{kept.scope}/{name}")
        return Plan((scope, Change(Action.CHANGE, "secret", f"{kept.scope}/{name}", owner, "another value")))
    return Plan((scope, Change(Action.CREATE, "secret", f"{kept.scope}/{name}")))


def store(site: Site, name: str, value: Secret, *, force_lock: bool = False) -> None:
    """Writes a key over its old value, and makes the scope where it is missing.

    Args:
        site: of the target.
        name: the key.
        value: what to keep.
        force_lock: take the target's lock although somebody holds it.

    Raises:
        DeployError: as `settable`; LOCK_HELD; USAGE for an empty or too long value.
    """
    fitting(name, value, signs=name == _place(site)[1])
    with session.locked(site, force_lock):
        write(site, settable(site, name), name, value)


def write(site: Site, kept: Contents, name: str, value: Secret) -> None:
    """Writes a key; the lock is held. The ledger claims what is new."""
    store, there = site.workspace.secrets, kept.key(name).written is not None
    signs = not kept.exists and name != signing.KEY
    made = [] if there else [name, *([signing.KEY] if signs else [])]
    new = {"scope": [] if kept.exists else [kept.scope], "secrets": [f"{kept.scope}/{key}" for key in made]}
    with ledger.claiming(site, new):
        if not kept.exists:
            store.create_scope(kept.scope)
            events.emit(events.Changed("created", "secret scope", kept.scope))
        if signs:
            store.put(kept.scope, signing.KEY, random_value())
        store.put(kept.scope, name, value)
    events.emit(events.Changed("changed" if there else "created", "secret", f"{kept.scope}/{name}"))


def fitting(name: str, value: Secret, *, signs: bool = False) -> None:
    """Refuses a value that the platform does not take, a placeholder, and one that can be guessed.

    Args:
        name: the key.
        value: what is to be kept in it.
        signs: whether it signs sign-ins.

    Raises:
        DeployError: USAGE.
    """
    length = len(value.reveal().encode())
    if not value:
        what: str | None = "is empty"
    elif length > LONGEST_BYTES:
        what = f"has {length} bytes, more than the {LONGEST_BYTES} that a secret may have"
    else:
        what = weakness(value) if signs else placeholder(value)
    if what is None:
        return
    given = "openssl rand -base64 32 | " if signs else ""
    raise DeployError(
        Code.USAGE,
        f"The value given for {name} {what}.",
        hint=f"Give one on standard input: {given}metamcp-deploy secrets set {name}{'' if signs else ' < FILE'}",
    )
