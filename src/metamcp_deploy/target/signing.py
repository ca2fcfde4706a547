"""Signatures of what a target keeps in its root: who may write there cannot forge its records, ledger and intents.

The key lies in the target's secret scope. A signature covers the content, the root and the file's path below it, so a
valid file says nothing under another name or in another target. An older version of the same file stays valid.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events, resources
from metamcp_deploy.config.secret import SIGNING_KEY
from metamcp_deploy.target.variables import AUTH_RESOURCE

if TYPE_CHECKING:
    from metamcp_deploy.target.site import Site
    from metamcp_deploy.workspace.apps import App

KEY = SIGNING_KEY  # of the secret scope
_FIELD = "signature"


@dataclass(frozen=True)
class Signer:
    """Signs and verifies the files of one root.

    Attributes:
        root: of the target.
        keys: the first signs, each verifies: a rotation keeps the old one until all is signed again.
        refused: there may be a key, and this login may not read it: what is forged cannot be told from what is not.
    """

    root: str
    keys: tuple[bytes, ...] = ()
    refused: bool = False

    @property
    def strict(self) -> bool:
        """Whether what it does not find valid is not to be believed; where nothing signs, everything is."""
        return bool(self.keys) or self.refused

    def sealed(self, path: str, content: Mapping[str, Any]) -> bytes:
        """The file's bytes, signed where there is a key."""
        bare = {name: value for name, value in content.items() if name != _FIELD}
        if self.keys:
            bare[_FIELD] = self._of(self.keys[0], path, bare)
        return json.dumps(bare, indent=1).encode()

    def valid(self, path: str, content: Mapping[str, Any]) -> bool:
        """Whether one of the keys signed this content at this place."""
        said = str(content.get(_FIELD) or "").encode()
        bare = {name: value for name, value in content.items() if name != _FIELD}
        return any(hmac.compare_digest(said, self._of(key, path, bare).encode()) for key in self.keys)

    def _of(self, key: bytes, path: str, bare: Mapping[str, Any]) -> str:
        signed = {"root": self.root, "path": path.removeprefix(f"{self.root}/"), "content": bare}
        text = json.dumps(signed, sort_keys=True, separators=(",", ":"))
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def of(site: Site) -> Signer:
    """The signer of a target; without keys where its scope holds none, or this login may not read it, which is said."""
    scope, secrets = _scope(site), site.workspace.secrets
    value = secrets.remembered(scope, KEY) if scope else None
    if scope and secrets.newly_refused(scope, KEY):
        me = site.workspace.me
        text = (
            f"{me} may not read the secret {scope}/{KEY}: records and ledger of the target count as unsigned."
        )
        hint = f"Whoever manages the scope grants READ: databricks secrets put-acl {scope} {me} READ"
        events.emit(events.Warned(text, hint))
    keys = tuple(part.encode() for part in value.reveal().split()) if value else ()
    return Signer(site.root, keys, bool(scope) and secrets.refused(scope or "", KEY))


def verified(site: Site, path: str, content: Mapping[str, Any]) -> bool:
    """Whether a file of the root carries a valid signature; no request for one that carries none."""
    return _FIELD in content and of(site).valid(path, content)


def write(site: Site, path: str, content: Mapping[str, Any]) -> None:
    """Writes a file of the root, signed; the lock is asked for before, where it is held."""
    site.workspace.files.sure().write(path, of(site).sealed(path, content))


def write_as_read(site: Site, path: str, content: Mapping[str, Any], signed: bool) -> None:
    """Writes a file of the root again: what was not signed gets no signature by being changed."""
    signer = of(site) if signed else Signer(site.root)
    site.workspace.files.sure().write(path, signer.sealed(path, content))


def again(site: Site, paths: list[str]) -> Callable[[], None]:
    """What signs those of the files that are validly signed now, later: with the key of then."""
    signer, files = of(site), site.workspace.files
    valid = {}
    for path, content in files.contents(paths).items():
        document = _object(content)
        if document is not None and signer.valid(path, document):
            valid[path] = document

    def sign() -> None:
        for path, document in valid.items():
            write(site, path, document)

    return sign


def _object(content: bytes | None) -> dict[str, Any] | None:
    try:
        found = resources.parsed_json(content or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _scope(site: Site) -> str | None:
    """Of the settings; without a configuration that of the app's resource."""
    settings = site.project.settings
    if not site.project.bare:
        return settings.secret_scope
    app = site.app or site.workspace.apps.find(settings.app.name)
    return scope_of(app) if app else None


def scope_of(app: App) -> str | None:
    """The secret scope that an app's resources name."""
    resource = next((r for r in app.resources if r.get("name") == AUTH_RESOURCE), {})
    found: str | None = (resource.get("secret") or {}).get("scope")
    return found
