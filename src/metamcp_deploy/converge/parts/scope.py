"""The secret scope, the secret that signs sign-ins (made once, never replaced), and the keys that the settings name."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from metamcp_deploy import events
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.converge.part import Kind, Named, Part
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import ELSEWHERE, OURS, Action, Change
from metamcp_deploy.target import signing
from metamcp_deploy.target.ledger import Ledger, Things
from metamcp_deploy.target.variables import AUTH_SECRET

if TYPE_CHECKING:
    from metamcp_deploy.config.model import Waits
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.secrets import Scope as Found

_BYTES = 48  # of randomness


def random_value() -> Secret:
    """A secret that nobody can guess."""
    return Secret(secrets.token_urlsafe(_BYTES))


def uses(settings: Settings) -> dict[str, list[str]]:
    """Key of the scope → the settings that refer to it."""
    found: dict[str, list[str]] = {settings.secrets.better_auth_secret: [AUTH_SECRET]}
    for where, key in settings.secret_uses:
        found.setdefault(key, []).append(where)
    return found


def _scope_exists(workspace: Workspace, name: str) -> bool:
    return workspace.secrets.written(name) is not None


def _key_exists(workspace: Workspace, name: str) -> bool:
    scope, _, key = name.partition("/")
    return key in (workspace.secrets.written(scope) or {})


def _delete_scope(workspace: Workspace, name: str, within: Waits) -> None:
    workspace.secrets.delete_scope(name)


def _delete_key(workspace: Workspace, name: str, within: Waits) -> None:
    workspace.secrets.delete(*name.split("/", 1))


def _manager(workspace: Workspace, name: str) -> str:
    """Who manages a scope, as its creator does: no API names the creator itself."""
    try:
        granted = workspace.secrets.granted(name)
    except DeployError as e:
        if e.code not in (Code.NOT_FOUND, Code.PERMISSION_DENIED):
            raise
        return ""
    return ", ".join(sorted(who for who, level in granted.items() if level == "MANAGE"))


_KEY = Kind("secrets", "secret", "secrets", _key_exists, _delete_key, inside=("scope",))
_SCOPE = Kind("scope", "secret scope", "secrets", _scope_exists, _delete_scope, creator=_manager)


class Scope(Part):
    """The scope and its keys. A scope that somebody else made is used and added to, never emptied."""

    kinds = (_KEY, _SCOPE)

    @classmethod
    def deletable(
        cls, workspace: Workspace, ledger: Ledger, exists: Callable[[Kind, str], bool]
    ) -> Iterator[Named]:
        """Each scope, if it holds nothing of others; else the keys that the target made."""
        keys = set(ledger.names("secrets"))
        for scope in sorted({*ledger.names("scope"), *(name.partition("/")[0] for name in keys)}):
            written = workspace.secrets.written(scope)
            if written is None:
                continue
            names, signs = {f"{scope}/{key}" for key in written}, f"{scope}/{signing.KEY}"
            mine = {name for name in keys if ledger.proves("secrets", name)}
            # Unless it is named, a scope takes no key along that only an unsigned ledger names.
            sure = mine if ledger.proves("scope", scope) else keys
            if ledger.has("scope", scope) and names - {signs} <= sure:
                yield _SCOPE, scope
            else:  # the key that signs the ledger last
                going = sorted(names & keys, key=lambda name: (name == signs, name))
                yield from ((_KEY, name) for name in going)

    @classmethod
    def counts_inside(cls, settings: Settings, kind: Kind, name: str) -> bool:
        """Only a key that this target uses: others keep theirs in the scope."""
        return name.partition("/")[2] in {*uses(settings), signing.KEY}

    written: dict[str, int] | None = None  # None without a scope
    found: Found | None = None  # looked up only where something is missing
    stored: Secret | None = None  # looked up only where a value is given
    signs = False  # the key that signs records and ledger is to be made

    def look(self) -> None:
        """One request where all exists."""
        store, wanted = self.context.workspace.secrets, self.context.desired.secrets
        self.auth = self.context.settings.secrets.better_auth_secret
        self.given = self.context.site.project.secrets.get(AUTH_SECRET)
        self.context.written = self.written = store.written(wanted.scope)
        missing = sorted(wanted.keys - set(self.written or {}))
        unsigned = signing.KEY not in (self.written or {})
        if self.written is not None and (missing or (unsigned and wanted.managed)):
            self.found = store.scope(wanted.scope)
        self.signs = unsigned and wanted.managed and not (self.found and self.found.vault)
        self.context.signs_anew = self.signs
        if self.given and self.auth not in missing:
            self.stored = store.get(wanted.scope, self.auth)
            self._same(self.given)
        self._can_be_made(missing)

    @property
    def _name(self) -> str:
        return f"{self.context.desired.secrets.scope}/{self.auth}"

    def _same(self, given: Secret) -> None:
        if self.stored is None:
            text = f"The secret {self._name} may not be read, so it was not compared with the one given here."
            events.emit(events.Warned(text))
        elif self.stored != given:
            target = self.context.settings.target
            raise DeployError(
                Code.CONFIG_CONFLICT,
                f"{AUTH_SECRET} in the environment or .env differs from the stored secret {self._name}. The stored "
                "one is never replaced by a deployment: with another, everybody is signed out.",
                hint=f"Remove {AUTH_SECRET} from the environment and .env; or, to replace the stored one: "
                f"metamcp-deploy secrets rotate -t {target}",
            )

    def _can_be_made(self, missing: Iterable[str]) -> None:
        """Refuses what this run could not make.

        Raises:
            DeployError: NOT_FOUND, naming every key, where it is used, and who makes it how.
        """
        wanted = self.context.desired.secrets
        vault = self.found.vault if self.found else None
        ours = {self.auth} if wanted.managed and not vault else set()
        if not (lacking := [key for key in missing if key not in ours]):
            return
        by_key = uses(self.context.settings)
        named = ", ".join(f"{key} (for {' and '.join(by_key.get(key, ['the app']))})" for key in lacking)
        where = f"scope {wanted.scope} of {self.context.workspace.host}"
        if self.written is None:
            where += ", which does not exist"
        raise DeployError(
            Code.NOT_FOUND,
            f"Target {self.context.settings.target} needs the secret {named} in {where}.",
            hint=lack_hint(lacking[0], wanted.scope, self.context.settings.target, wanted.managed, vault),
        )

    def changes(self) -> tuple[Change, ...]:
        """The scope, then each key."""
        wanted, there = self.context.desired.secrets, self.written
        new = [self.auth] if there is None or self.auth not in there else []
        new += [signing.KEY] if self.signs else []
        action = Action.KEEP
        if not wanted.managed:
            action = Action.CHECK
        elif there is None:
            action = Action.CREATE
        elif new and not self.context.ledger.proves("scope", wanted.scope):
            action = Action.ADOPT
        owner = self.context.ledger.owner("scope", wanted.scope) if wanted.managed else ELSEWHERE
        owner = OURS if action is Action.CREATE else owner
        reason = f"gets the secret {' and '.join(new)}" if action is Action.ADOPT else ""
        signs = (f"{wanted.scope}/{signing.KEY}", OURS, "signs records and ledger")
        return (
            Change(action, "secret scope", wanted.scope, owner, reason),
            *(self._key(key) for key in sorted(wanted.keys)),
            *((Change(Action.CREATE, "secret", *signs),) if self.signs else ()),
        )

    def _key(self, key: str) -> Change:
        name = f"{self.context.desired.secrets.scope}/{key}"
        managed = self.context.desired.secrets.managed
        if key not in (self.written or {}):
            how = f"the {AUTH_SECRET} given here" if self.given else "a random value"
            return Change(Action.CREATE, "secret", name, OURS, how)
        owner = self.context.ledger.owner("secrets", name) if managed else ELSEWHERE
        return Change(Action.KEEP if managed else Action.CHECK, "secret", name, owner)

    def makes(self) -> Things:
        """The scope and the keys, where they are missing."""
        scope = self.context.desired.secrets.scope
        keys = [self._name] if self.auth not in (self.written or {}) else []
        keys += [f"{scope}/{signing.KEY}"] if self.signs else []
        return {"scope": [scope] if self.written is None else [], "secrets": keys}

    def apply(self) -> None:
        """Makes what is missing."""
        store, wanted = self.context.workspace.secrets, self.context.desired.secrets
        new = self.written is None and store.create_scope(wanted.scope)
        if self.written is None:
            self.claim_created(_SCOPE, wanted.scope, new)
            events.emit(events.Changed("created", "secret scope", wanted.scope))
        if self.signs and (new or store.get(wanted.scope, signing.KEY) is None):
            store.put(wanted.scope, signing.KEY, random_value())
            self.claim("secrets", [f"{wanted.scope}/{signing.KEY}"])
            events.emit(events.Changed("created", "secret", f"{wanted.scope}/{signing.KEY}"))
        # Asked again, and of the value itself: a list may lag behind, and nothing brings back what is written over.
        missing = self.auth not in (self.written or {})
        if missing and (new or store.get(wanted.scope, self.auth) is None):
            store.put(wanted.scope, self.auth, self.given or random_value())
            self.claim("secrets", [self._name])
            self.context.written = None
            events.emit(events.Changed("created", "secret", self._name))
        else:
            events.emit(events.Changed("kept", "secret", self._name))


def lack_hint(key: str, scope: str, target: str, managed: bool, vault: str | None) -> str:
    """How a key is made that is not there."""
    if vault:
        if "_" in key or "." in key:
            return (
                f"An Azure Key Vault takes only letters, digits and - in names: make the secret "
                f"{key.replace('_', '-').replace('.', '-')} in {vault}, and name that in metamcp.yaml."
            )
        return f"The scope shows the Azure Key Vault {vault} and cannot be written to: make the secret {key} there."
    if not managed:
        return f"Its owner (secrets.managed is false) has to make it: databricks secrets put-secret {scope} {key}"
    return f"metamcp-deploy secrets set {key} -t {target}"
