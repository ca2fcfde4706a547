"""`db`: the database of a deployed app; with `--app NAME -p PROFILE` no configuration is needed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metamcp_deploy.cli import db_data, db_views, planning
from metamcp_deploy.cli.options import AppOption, Run, common
from metamcp_deploy.cli.views.help import App

if TYPE_CHECKING:
    from metamcp_deploy.config.secret import Secret

app = App(
    name="db",
    help="The app's database: state, sessions, migrations; backup, restore, psql.",
    no_args_is_help=True,
)


@app.command()
@common
def status(run: Run, app: AppOption = None) -> None:
    """Show sizes, connections, the oldest transaction, locks, dead rows, cache hits."""
    from metamcp_deploy.database import facts, opening

    run.app = app
    with run.console.following(), opening.opened(run.project) as seen:
        storage = facts.storage(seen.connection, seen.deployed.schema)
        found = db_views.Status(
            seen.identity, seen.settings, seen.schema, seen.migrations, seen.activity, storage
        )
    if run.output == "json":
        run.console.data(found.as_dict())
    else:
        run.console.rows(found.rows())


@app.command()
@common
def check(run: Run, app: AppOption = None) -> None:
    """Check role, owners, grants, ledger, and what lies in public; exit code 0 only without an error."""
    from metamcp_deploy.database import checks, opening

    run.app = app
    with run.console.following(), opening.opened(run.project) as seen:
        findings = checks.check(seen)
    if run.output == "json":
        run.console.data({"checks": [asdict(one) for one in findings]})
    else:
        run.console.rows(db_views.findings(findings))
    if any(one.level is checks.Level.ERROR for one in findings):
        raise typer.Exit(1)


@app.command()
@common
def sessions(
    run: Run,
    app: AppOption = None,
    end: Annotated[
        list[int] | None, typer.Option("--end", metavar="PID", help="End this session of the database.")
    ] = None,
    auto_approve: Annotated[
        bool, typer.Option("--auto-approve", help="Do not ask before a session is ended.")
    ] = False,
) -> None:
    """Show the database's sessions: whose, since when, what they hold and whom they wait for."""
    from metamcp_deploy.database import facts, opening, sessions

    run.app = app
    with run.console.following(), opening.opened(run.project) as seen:
        held = facts.held(seen.connection, seen.deployed.schema)
        activity = seen.activity
        if end:
            found = sessions.named(activity, end)
            if not auto_approve:
                run.console.say("\n".join(map(sessions.described, found)))
                again = " ".join(f"--end {pid}" for pid in end)
                db_data.approved(run, "End that?", f"metamcp-deploy db sessions {again} --auto-approve")
            sessions.end(seen.connection, found)
            done = [one.pid for one in found]
            run.console.data({"ended": done}, f"Ended: {', '.join(map(str, done))}.")
            return
    if run.output == "json":
        run.console.data(db_views.sessions_as_dict(activity, held))
    else:
        run.console.raw(db_views.sessions(activity, held))


@app.command()
@common
def credential(
    run: Run,
    app: AppOption = None,
    as_app: Annotated[
        bool, typer.Option("--as-app", help="Go the launcher's way: token, credential, login, step by step.")
    ] = False,
    client_secret_file: Annotated[
        Path | None,
        typer.Option(
            "--client-secret-file",
            help="With --as-app: a file with the principal's client secret; - is stdin.",
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the password.")] = False,
) -> None:
    """Make a database credential as the caller, try it, and compare its role with the app's."""
    from metamcp_deploy.database import credentials

    run.app = app
    if as_app and show:
        raise typer.BadParameter("--show is for the caller's own credential.")
    if as_app:
        with run.console.following():
            way = credentials.as_app(run.project, _read(run, client_secret_file))
        run.console.data(db_views.way_as_dict(way), db_views.way(way))
        if way.failure:
            raise way.failure if run.output != "json" else typer.Exit(1)
        return
    with run.console.following():
        made = credentials.mint(run.project)
    if not show:
        run.console.hide([made.login.password.reveal()])
    run.console.data(db_views.minted_as_dict(made, show), db_views.minted(made, show))


@app.command()
@common
def migrate(
    run: Run,
    app: AppOption = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what the next start would apply.")] = False,
    detailed_exitcode: planning.DetailedExitcode = False,
) -> None:
    """Compare the ledger with a release's migrations; the app itself applies them, when it starts."""
    from metamcp_deploy.database import opening, pending

    run.app = app
    if not plan:
        raise typer.BadParameter(
            "Migrations run when the app starts: give --plan, or use `metamcp-deploy start`."
        )
    with run.console.following(), opening.opened(run.project) as seen:
        found = pending.plan(seen)
    planning.shown(run, found, detailed_exitcode)


for command in (db_data.psql, db_data.backup, db_data.restore, db_data.adopt):
    app.command()(command)


def _read(run: Run, file: Path | None) -> Secret | None:
    import sys

    from metamcp_deploy.config.secret import Secret

    if file is None:
        return None
    value = (sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")).strip()
    run.console.hide([value])
    return Secret(value)
