"""The app: made without compute, changed where it differs; resources and settings of others stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events
from metamcp_deploy.converge import guard
from metamcp_deploy.converge.part import Kind, Part
from metamcp_deploy.converge.parts.app import fields, ownership, waits
from metamcp_deploy.converge.parts.app.ownership import Ownership
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import ELSEWHERE, OURS, Action, Change, Difference
from metamcp_deploy.target.ledger import Things
from metamcp_deploy.target.variables import DATABASE_RESOURCE

if TYPE_CHECKING:
    from metamcp_deploy.config.model import Waits
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App


def _exists(workspace: Workspace, name: str) -> bool:
    return workspace.apps.find(name) is not None


def _creator(workspace: Workspace, name: str) -> str:
    app = workspace.apps.find(name)
    return str(app.raw.get("creator") or "") if app else ""


def _delete(workspace: Workspace, name: str, within: Waits) -> None:
    workspace.apps.delete(name)
    waits.gone(workspace, name, within.deletion)


def _marked(workspace: Workspace, name: str, root: str) -> bool | None:
    """By where its code was taken from: only who manages the app decides that."""
    app = workspace.apps.find(name)
    sources = [str(app.raw.get("default_source_code_path") or "")] if app else []
    sources += [app.active.source_code_path] if app and app.active else []
    return any(source.startswith(f"{root}/") for source in sources) if any(sources) else None


class AppPart(Part):
    """The app. `context.app` is what was seen of it, and after `apply` what it became."""

    kinds = (
        Kind(
            *("app", "app", "app", _exists, _delete),
            creator=_creator,
            marked=_marked,
            others="its code was taken from elsewhere",
        ),
    )
    needs_ledger = True

    def look(self) -> None:
        """No request: the convergence has looked at the app already.

        Raises:
            DeployError: ALREADY_EXISTS, for an app of somebody else; CONFIG_CONFLICT, for one that is scaled; NOT_FOUND
                and REQUEST_REFUSED, where the app is managed elsewhere and lacks something.
        """
        self.found = self.context.app
        if self.found is None:
            if not self.context.desired.app.managed:
                raise self._lacks("is not there", Code.NOT_FOUND)
            return
        _one_instance(self.found, self.context.settings.app.allow_instances)
        if self.context.desired.app.managed:
            self._may_be_changed()
            self._keeps_its_space(self.found)
            wanted, site = self.context.desired.app.resources, self.context.site
            self._keeps_its_database()
            guard.hold(site, self.found, wanted, self.context.desired.target)
        elif missing := fields.unattached(self.found, self.context.desired.app):
            raise self._lacks(f"has no resource {', no resource '.join(missing)}", Code.REQUEST_REFUSED)

    def _lacks(self, what: str, code: Code) -> DeployError:
        wanted = self.context.desired.app
        return DeployError(
            code,
            f"The app {wanted.name} of {self.context.workspace.host} {what}, and the settings say that it is managed "
            "elsewhere.",
            hint="Ask its owner for that (databricks.yml in build/bundle shows how each resource is meant with "
            "app.managed: true), or set app.managed: true.",
            detail="\n".join(map(str, wanted.resources)),
        )

    @property
    def _deleting(self) -> bool:
        return self.found is not None and self.found.compute == "DELETING"

    def _may_be_changed(self) -> None:
        found = self._ownership
        if self._deleting or self.context.adopt or found.usable(self.context.workspace.me):
            return
        name, host = self.context.desired.app.name, self.context.workspace.host
        if found.root:
            raise DeployError(
                Code.ALREADY_EXISTS,
                f"The app {name} of {host} is another target's: it runs what was deployed from {found.root}, and this "
                f"target's root is {self.context.site.root}. Each would know nothing of the other's lock and history.",
                hint=f"To be the same target, both need the same place: workspace.root_path: {found.root} (or one that "
                "both may write to). Else choose another app.name; or take the app over with --adopt, once "
                f"{found.creator or 'its owner'} agrees.",
            )
        forged = "; only a ledger without a valid signature says that this target made it"
        named = forged if self.context.ledger.has("app", name) else " and not by this tool"
        raise DeployError(
            Code.ALREADY_EXISTS,
            f"There is an app {name} in {host} already, made by {found.creator or 'somebody else'}{named}.",
            hint="Choose another app.name; or take that app over with --adopt, once its owner agrees.",
        )

    def _keeps_its_space(self, found: App) -> None:
        there = fields.other_space(found, self.context.desired.app, self.context.deployed)
        if there is None or self._deleting:
            return
        raise DeployError(
            Code.CONFIG_CONFLICT,
            f"The app {found.name} is in {f'the space {there}' if there else 'no space'}, and app.space names "
            f"{self.context.desired.app.enforced['space']}. An app's space is fixed when the app is made.",
            hint=f"{f'Set app.space: {there}' if there else 'Leave app.space out'}; or name a new app (app.name), "
            "which gets another URL.",
        )

    def _keeps_its_database(self) -> None:
        """An app that another tool made is not moved to an empty database in silence."""
        found, wanted = self.found, self.context.desired.app
        if found is None or (other := fields.left_behind(found, wanted)) is None:
            return
        named = fields.described(next(r for r in wanted.resources if r["name"] == DATABASE_RESOURCE))
        raise DeployError(
            Code.CONFIG_CONFLICT,
            f"The app {found.name} has its data in {fields.described(other)}, by its resource {other['name']}; the "
            f"settings name {named}, which holds none of it.",
            hint="To keep the data, name that database in metamcp.yaml; for an app of the predecessor "
            f"`metamcp-deploy init --from-predecessor` writes it. To leave the data, detach the resource "
            f"{other['name']} from the app {found.name} in the workspace first.",
        )

    @property
    def _ownership(self) -> Ownership:
        if self.found is None:
            return Ownership(True, "")
        return ownership.of_app(self.found, self.context.site.root, self.context.ledger)

    @property
    def _never_was(self) -> bool:
        """What a creation that failed left: an app without an address or a principal, that nothing was deployed to."""
        found = self.found
        if found is None or found.compute != "ERROR" or (found.url and found.principal):
            return False
        return self._ownership.ours and not found.deployed

    @property
    def differences(self) -> tuple[Difference, ...]:
        """The fields to change."""
        if self.found is None or not self.context.desired.app.managed:
            return ()
        return fields.differences(self.found, self.context.desired.app, self.context.deployed)

    def changes(self) -> tuple[Change, ...]:
        """The app, and the one that the target made under another name."""
        return (self._change(), *self._former())

    def _change(self) -> Change:
        name = self.context.desired.app.name
        if not self.context.desired.app.managed:
            return Change(Action.CHECK, "app", name, ELSEWHERE)
        if self.found is None:
            return Change(Action.CREATE, "app", name, OURS)
        if self._deleting:
            why = "is made again when the one that is being deleted is gone (up to 20 minutes)"
            return Change(Action.CREATE, "app", name, OURS, why)
        if self._never_was:
            return Change(
                Action.RECREATE, "app", name, OURS, "a creation failed and left it without an address"
            )
        differences = self.differences
        if not (known := self._ownership).ours:
            why = f"deployed from {known.root} until now" if known.root else "made by hand"
            return Change(Action.ADOPT, "app", name, known.owner, why, differences)
        if self.found is not None and not (self.found.url and self.found.principal):
            return Change(Action.WAIT, "app", name, OURS, "it has no address yet", differences)
        if differences:
            reason = fields.moved(differences)
            return Change(Action.CHANGE, "app", name, OURS, reason, differences)
        return Change(Action.KEEP, "app", name, OURS)

    def _former(self) -> tuple[Change, ...]:
        made = self.context.ledger
        others = [
            n for n in made.names("app") if n != self.context.desired.app.name and made.proves("app", n)
        ]
        why = "the target's former app: it stays, and costs, until somebody deletes it"
        return tuple(Change(Action.KEEP, "app", name, OURS, why) for name in others)

    def makes(self) -> Things:
        """The app, where it is missing or taken over."""
        if self._change().action not in (Action.CREATE, Action.RECREATE, Action.ADOPT):
            return {}
        return {"app": [self.context.desired.app.name]}

    def apply(self) -> None:
        """Makes the app, or changes it."""
        for former in self._former():
            text = f"The app {former.name}, which this target made under that name, is still there."
            events.emit(
                events.Warned(text, f"If nobody uses it any more: databricks apps delete {former.name}")
            )
        change = self._change()
        apps, name = self.context.workspace.apps, change.name
        if change.action is Action.RECREATE:
            apps.delete(name)
        if self._deleting or change.action is Action.RECREATE:
            waits.gone(self.context.workspace, name, self.context.settings.waits.deletion)
        if change.action in (Action.CREATE, Action.RECREATE):
            made = self._created()
            self.claim("app", [name])
            self.context.app = self._whole(made)
            return
        if moved := fields.moved(change.differences):
            events.emit(events.Warned(f"The app {name}: {moved}."))
        if change.differences:
            changed = fields.body(change.differences, self.found, self.context.desired.app)
            waits.change(self.context.workspace, name, changed, self.context.settings.waits.change)
            self._restored(changed)
        if change.action is Action.ADOPT:
            self.claim("app", [name])
        named = ", ".join(sorted({d.field.partition(".")[0] for d in change.differences}))
        done = "changed" if named else "kept"
        events.emit(events.Changed(done, "app", f"{name} ({named})" if named else name))
        self.context.app = self._whole(self.found)

    def _restored(self, changed: Mapping[str, Any]) -> None:
        """Some workspaces pass over the mask of a change, and clear what it does not name: all is sent once more."""
        if self.found is None:
            return
        workspace, name = self.context.workspace, self.found.name
        whole = fields.whole(self.found, changed)
        after = workspace.apps.get(name)
        if gone := [
            field for field in fields.lost(after, whole) if field not in changed or after.raw.get(field)
        ]:
            text = f"The change of the app {name} took away more than it named: {', '.join(gone)}. All is sent again."
            events.emit(events.Warned(text))
            waits.change(workspace, name, whole, self.context.settings.waits.change)
            after = workspace.apps.get(name)
        self.found = after

    def _created(self) -> App:
        wanted = self.context.desired.app
        body: dict[str, Any] = {
            "description": wanted.description,
            "compute_size": wanted.compute_size,
            "resources": list(wanted.resources),
        }
        if wanted.user_api_scopes:
            body["user_api_scopes"] = list(wanted.user_api_scopes)
        body |= wanted.enforced
        events.emit(events.Progress(f"makes the app {wanted.name}"))
        try:
            made = self.context.workspace.apps.create(wanted.name, body)
        except DeployError as e:
            if e.code is not Code.ALREADY_EXISTS:
                raise
            # An earlier answer was lost, or somebody was faster.
            made = self.context.workspace.apps.get(wanted.name)
            if made.raw.get("creator") != self.context.workspace.me:
                self.found = made
                self._may_be_changed()
        events.emit(events.Changed("created", "app", wanted.name))
        return made

    def _whole(self, seen: App | None) -> App:
        """The app once it has its URL and its principal."""
        from metamcp_deploy.workspace import poll

        if seen is not None and seen.url and seen.principal:
            return seen
        name = self.context.desired.app.name

        def look() -> App | None:
            app = self.context.workspace.apps.get(name)
            return app if app.url and app.principal else None

        return poll(
            look,
            what=f"the app {name} to get its URL and its principal",
            within=self.context.settings.waits.change,
            hint="Run the same command again: it goes on from there; or wait longer: --set waits.change=SECONDS",
            clock=self.context.workspace.clock,
        )


def _one_instance(found: App, allowed: bool) -> None:
    """MetaMCP's sessions live in memory: a second instance does not know those of the first."""
    count = found.raw.get("compute_max_instances")
    if not isinstance(count, int) or count <= 1 or allowed:
        return
    raise DeployError(
        Code.CONFIG_CONFLICT,
        f"The app {found.name} is scaled to up to {count} instances. MetaMCP keeps its sessions in the memory of "
        "one, so a client's next request may meet an instance that does not know it.",
        hint="Scale the app to one instance in the workspace, or accept it with `app.allow_instances: true`.",
    )
