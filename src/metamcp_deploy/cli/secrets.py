"""Commands for the target's secrets: `secrets list|set|rotate`. A value comes from a prompt or standard input only."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metamcp_deploy.cli.options import AppOption, Plan, Run, Wait, common
from metamcp_deploy.cli.views.help import App
from metamcp_deploy.cli.views.times import moment
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.stages.bundle_deploy import ForceLock

if TYPE_CHECKING:
    from metamcp_deploy.config.secret import Secret
    from metamcp_deploy.secrets.keys import Contents, Key

app = App(name="secrets", help="The secrets that the app is given.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="KEY", help="Key of the scope.")]
OptionalName = Annotated[
    str | None,
    typer.Argument(metavar="KEY", help="Key of the scope; default: the one that signs sign-ins."),
]
AutoApprove = Annotated[bool, typer.Option("--auto-approve", help="Do not ask.")]
Stdin = Annotated[bool, typer.Option("--stdin", help="Read the new value from standard input.")]


@app.command("list")
@common
def listing(run: Run, app: AppOption = None) -> None:
    """Show the keys that the target uses, whether they are there, and the scope's other keys; never a value."""
    from metamcp_deploy.secrets import keys as scope_keys
    from metamcp_deploy.target import locate

    run.app = app
    with run.console.following():
        site = locate.site(run.project)
        kept = scope_keys.look(site)
    if run.output == "json":
        run.console.data(_document(kept))
    else:
        run.console.say(_heading(kept, site.workspace.host))
        run.console.table(["key", "used for", "last written"], [_row(key) for key in kept.keys])


@app.command("set")
@common
def store(run: Run, name: Name, plan: Plan = False, force_lock: ForceLock = False) -> None:
    """Write a key: the value is asked for without echo, or read from standard input."""
    from metamcp_deploy.cli import planning
    from metamcp_deploy.secrets import keys as scope_keys
    from metamcp_deploy.target import locate, protection, session

    with session.shared():
        with run.console.following():
            protection.allow(run.project)
            session.connect(run.project, start=not plan)
            site = locate.site(run.project)
            before = scope_keys.settable(site, _key(name))
        if plan:
            planning.shown(run, scope_keys.plan(site, before, name))
            return
        value = _value(run, name)
        with run.console.following():
            scope_keys.store(site, name, value, force_lock=force_lock)
    key = before.key(name)
    done = "created" if key.written is None else "changed"
    run.console.data({"scope": before.scope, "key": name, "action": done}, f"{before.scope}/{name} {done}")
    if key.uses:
        run.console.say(f"The app gets it with: metamcp-deploy app-deploy {locate.called(run.project)}")
    else:
        run.console.say(f"No setting uses it yet: app.env.NAME: {{secret: {name}}} would.")


@app.command()
@common
def rotate(
    run: Run,
    name: OptionalName = None,
    stdin: Stdin = False,
    plan: Plan = False,
    auto_approve: AutoApprove = False,
    force_lock: ForceLock = False,
    wait: Wait = 120,
    app: AppOption = None,
) -> None:
    """Give a secret a new value, start the running app with it, and wait until it is healthy.

    The secret that signs sign-ins gets a random one, any other is asked for as by `secrets set`.
    """
    from metamcp_deploy.cli import planning
    from metamcp_deploy.secrets import rotation
    from metamcp_deploy.stages import deploy
    from metamcp_deploy.target import locate, session

    run.app = app
    with session.shared():
        with run.console.following():
            site = locate.site(run.project)
            found = rotation.look(site, name and _key(name))
        if plan:
            planning.shown(run, found.plan())
            return
        run.console.say(found.consequence)
        _approved(found.name, auto_approve)
        value = _value(run, found.name) if stdin or not found.generated else None
        with run.console.following():
            done = rotation.rotate(site, name, value, force_lock=force_lock)
            report = deploy.healthy(run.project, wait) if done else None
    document: dict[str, Any] = {"scope": found.kept.scope, "key": found.name, "deployment": done}
    document |= {"health": report.as_dict()} if report else {}
    run.console.data(document, f"{found.kept.scope}/{found.name} has a new value.")


def _key(name: str) -> str:
    """A key that may be one.

    Raises:
        DeployError: USAGE.
    """
    from pydantic import TypeAdapter, ValidationError

    from metamcp_deploy.config.constraints import SecretKey

    try:
        return str(TypeAdapter(SecretKey).validate_python(name))
    except ValidationError:
        text = f"{name!r} is no key of a secret: 1 to 128 letters, digits, _, . and - are expected."
        raise DeployError(Code.USAGE, text, hint="The keys in use: metamcp-deploy secrets list") from None


def _value(run: Run, name: str) -> Secret:
    """The value, from a prompt or standard input (without the line's end that programs add)."""
    from metamcp_deploy.config.secret import Secret

    if sys.stdin.isatty():
        text = typer.prompt(f"Value of {name}", hide_input=True, confirmation_prompt=True, err=True)
    else:
        text = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    run.console.hide([text])
    return Secret(text)


def _approved(name: str, auto_approve: bool) -> None:
    """Asks; without a terminal the option is needed.

    Raises:
        DeployError: USAGE.
    """
    if auto_approve:
        return
    if not sys.stdin.isatty():
        text = f"Replacing {name} without a terminal needs your word."
        raise DeployError(Code.USAGE, text, hint="Add --auto-approve to the same command.")
    typer.confirm(f"Replace {name}?", abort=True, err=True)


def _document(kept: Contents) -> dict[str, object]:
    keys = [
        {
            "key": key.name,
            "used_for": list(key.uses),
            "there": key.written is not None,
            "written": _time(key.written),
        }
        for key in kept.keys
    ]
    return {
        "scope": kept.scope,
        "there": kept.exists,
        "managed": kept.managed,
        "vault": kept.vault,
        "secrets": keys,
    }


def _heading(kept: Contents, host: str) -> str:
    if not kept.exists:
        return f"Scope {kept.scope} of {host}: not there yet"
    of = f", of the Azure Key Vault {kept.vault} (read-only)" if kept.vault else ""
    return f"Scope {kept.scope} of {host}{of}" + ("" if kept.managed else ", managed elsewhere")


def _row(key: Key) -> list[str]:
    return [
        key.name,
        ", ".join(key.uses) or "-",
        "missing" if key.written is None else moment(_time(key.written) or "there"),
    ]


def _time(written: int | None) -> str | None:
    return (
        datetime.fromtimestamp(written / 1000).astimezone().isoformat(timespec="seconds") if written else None
    )
