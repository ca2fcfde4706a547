"""What the workspace gives the app: its database and its secrets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from metamcp_deploy import knowledge
from metamcp_deploy.converge.parts.app import fields
from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.subject import Subject
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import databases


def resources(subject: Subject) -> Iterator[Finding]:
    """Whether the app has the resources that the settings want; without settings, whether it has a database."""
    app = subject.app()
    place = subject.place
    # A deployment attaches them; the one that is missing is the cause.
    explained = frozenset() if app.deployed else frozenset({"deployment"})
    if not app.resources and subject.project().bare:
        yield Finding.known(
            knowledge.by_id("doctor", "resource-missing"),
            place,
            summary=f"The app {app.name} has no resources: neither a database nor a secret",
            evidence=(f"GET /api/2.0/apps/{app.name}: resources: none",),
            explained_by=explained,
        )
        return
    present = {resource["name"]: resource for resource in app.resources}
    wanted = {resource["name"]: resource for resource in subject.desired().app.resources}
    for name in fields.unattached(app, subject.desired().app):
        there, stated = present.get(name), wanted[name]
        missing = there is None
        differs = not missing and databases.of_resource(stated) is not None
        id_ = "resource-missing" if missing else "instance-differs" if differs else "resource-differs"
        where = "database" if id_ == "instance-differs" else "doctor"
        yield Finding.known(
            knowledge.by_id(where, id_),
            place,
            summary=f"The app {app.name} has no resource {name}: {fields.described(stated)}"
            if missing
            else f"The app's resource {name} is not the one of the settings",
            evidence=(
                f"GET /api/2.0/apps/{app.name}: {name}: {fields.described(there) if there else 'not there'}",
                f"settings: {name}: {fields.described(stated)}",
            ),
            explained_by=explained,
        )


def secrets(subject: Subject) -> Iterator[Finding]:
    """Whether each secret that the app names is there, and the app may read its scope."""
    app, stored = subject.app(), subject.workspace().secrets
    keys: dict[str, set[str]] = defaultdict(set)
    for resource in app.resources:
        if named := resource.get("secret"):
            keys[str(named.get("scope"))].add(str(named.get("key")))
    for scope, wanted in sorted(keys.items()):
        try:
            there = stored.written(scope)
        except DeployError as e:
            if e.code is not Code.PERMISSION_DENIED:
                raise
            yield Finding.known(
                knowledge.by_id("doctor", "secrets-unseen"),
                subject.place,
                summary=f"This login may not list the keys of the scope {scope}",
                evidence=(e.message,),
                values={"thing": scope, "me": subject.person().name},
            )
            continue
        if there is None:
            yield Finding.known(
                knowledge.by_id("doctor", "scope-gone"),
                subject.place,
                summary=f"The secret scope {scope} of the app {app.name} does not exist",
                evidence=(
                    f"GET /api/2.0/secrets/list?scope={scope}: not found",
                    f"keys that the app names: {', '.join(sorted(wanted))}",
                ),
                values={"thing": scope, "what": app.principal},
            )
            continue
        for key in sorted(wanted - set(there)):
            yield Finding.known(
                knowledge.by_id("launcher", "secret-gone"),
                subject.place,
                summary=f"The secret {key} of the app {app.name} is not in the scope {scope}",
                evidence=(
                    f"GET /api/2.0/secrets/list?scope={scope}: it holds {', '.join(sorted(there)) or 'none'}",
                ),
            )
        yield from _readable(subject, scope)


def _readable(subject: Subject, scope: str) -> Iterator[Finding]:
    """Whether the app's principal may read the scope; nothing where its access list cannot be read."""
    app = subject.app()
    try:
        granted = subject.workspace().secrets.granted(scope)
    except DeployError as e:
        if e.code is not Code.PERMISSION_DENIED:
            raise
        return
    if app.principal and app.principal not in granted and "users" not in granted:
        yield Finding.known(
            knowledge.by_id("doctor", "secret-access-missing"),
            subject.place,
            summary=f"The app {app.name} may not read the secret scope {scope}",
            evidence=(
                f"GET /api/2.0/secrets/acls/list?scope={scope}: {', '.join(sorted(granted)) or 'nobody'}",
                f"its principal: {app.principal}",
            ),
            values={"thing": scope, "what": app.principal},
            level=Level.ERROR,
        )
