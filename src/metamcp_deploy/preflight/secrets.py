"""Checks the secret scope and its keys; values are never read."""

from __future__ import annotations

from collections.abc import Collection

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.preflight.access import Seen
from metamcp_deploy.preflight.needs import Check, State
from metamcp_deploy.preflight.scene import ONLY_AN_ATTEMPT, Scene


def look(scene: Scene) -> list[Check]:
    """Both rows; none where no scope is known."""
    wanted = scene.desired.secrets
    if not wanted.scope:
        return []
    found = scene.workspace.secrets.scope(wanted.scope)
    if found is None:
        return _rows(scene, _absent(scene), _keys(scene, wanted.keys, "the scope is not there"))
    try:
        there = set(scene.workspace.secrets.written(wanted.scope) or ())
    except DeployError as e:
        if e.code is not Code.PERMISSION_DENIED:
            raise
        denied = "it is there, and you may not even list its keys"
        return _rows(scene, Seen(State.MISSING, denied), (Seen(State.UNKNOWN, denied), ()))
    lacking = wanted.keys - there
    return _rows(
        scene, _manages(scene, lacking, found.vault), _keys(scene, lacking, "not there", found.vault)
    )


def _rows(scene: Scene, scope: Seen, keys: tuple[Seen, Collection[str]]) -> list[Check]:
    name = scene.desired.secrets.scope
    seen, lacking = keys
    putting = "\n".join(f"databricks secrets put-secret {name} {key}" for key in sorted(lacking))
    command = f"databricks secrets put-acl {name} {scene.person.name} MANAGE"
    return [
        scene.check("scope", scope.about(f"scope {name}"), thing=name, command=command),
        scene.check("keys", seen, thing=name, command=putting),
    ]


def _absent(scene: Scene) -> Seen:
    name, host = scene.desired.secrets.scope, scene.workspace.host
    if not scene.desired.secrets.managed:
        ask = f"Please make the secret scope {name} in {host}: databricks secrets create-scope {name}"
        return Seen(State.MISSING, "not there, and `secrets.managed: false` leaves it to its owner", ask)
    if scene.person.admin:
        return Seen(State.HAD, "would be made")
    ask = f"May {scene.person.name} make secret scopes in {host}? It is to make {name}."
    return Seen(State.UNKNOWN, f"would be made; {ONLY_AN_ATTEMPT}", ask)


def _manages(scene: Scene, lacking: Collection[str], vault: str | None) -> Seen:
    if scene.attached and not lacking and not scene.desired.secrets.permissions:
        return Seen(State.HAD, "there, and attached to the app")
    if scene.person.admin:
        return Seen(State.HAD, "you are a workspace admin")
    try:
        scene.workspace.secrets.granted(scene.desired.secrets.scope)
    except DeployError as e:
        if e.code is not Code.PERMISSION_DENIED:
            raise
        # Only those who manage a scope may read its access list (SDK, list_acls).
        return Seen(State.MISSING, "you may list its keys, but not manage it")
    return Seen(State.HAD, "you manage it" + (f" (its secrets are kept in {vault})" if vault else ""))


def _keys(
    scene: Scene, lacking: frozenset[str], why: str, vault: str | None = None
) -> tuple[Seen, Collection[str]]:
    wanted = scene.desired.secrets
    # The one that deployments make by themselves, where they may write.
    own = {scene.project.settings.secrets.better_auth_secret}
    asked = lacking - (own if wanted.managed and not vault else frozenset())
    if not asked:
        made = " (made by the deployment)" if lacking else ""
        return Seen(State.HAD, f"{', '.join(sorted(wanted.keys))}{made}"), ()
    text = f"{why}: {', '.join(sorted(asked))}"
    if vault:
        ask = f"Please put {', '.join(sorted(asked))} into {vault}, which the secret scope {wanted.scope} is kept in."
        return Seen(State.MISSING, text, ask), asked
    return Seen(State.MISSING, text), asked
