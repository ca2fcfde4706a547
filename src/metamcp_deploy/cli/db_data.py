"""`db backup`, `restore`, `adopt`, `psql`: what reads or writes the data of the app's database."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metamcp_deploy.cli import db_views, planning
from metamcp_deploy.cli.options import AppOption, AutoApprove, Plan, Run, common

if TYPE_CHECKING:
    from metamcp_deploy.config.secret import Secret
    from metamcp_deploy.database.adoption import Adoption

Passphrase = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="A file with the passphrase of the backup; - is stdin."),
]


@common
def backup(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; FILE.json tells about it.")],
    app: AppOption = None,
    passphrase_file: Passphrase = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over a FILE that is there.")] = False,
) -> None:
    """Save MetaMCP's schema in a file, and prove it by restoring it into a throw-away database."""
    from metamcp_deploy.database import backup as work

    run.app = app
    passphrase = read_passphrase(run, passphrase_file)
    with run.console.following():
        saved = work.save(run.project, run.here / file, passphrase=passphrase, overwrite=overwrite)
    about = {k: v for k, v in asdict(saved.about).items() if k != "tables"}
    rows = {name: int(count) for name, (count, _) in saved.about.tables.items()}
    text = (
        f"{saved.path}  {db_views.size(saved.about.bytes)}  {sum(rows.values())} rows of {len(rows)} tables, "
        f"{saved.seconds:.1f} s\n{saved.proof[:1].upper()}{saved.proof[1:]}."
    )
    run.console.data(
        {"file": str(saved.path), **about, "rows": rows, "proof": saved.proof, "seconds": saved.seconds}, text
    )


@common
def restore(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `db backup` wrote.")],
    app: AppOption = None,
    passphrase_file: Passphrase = None,
    plan: Plan = False,
    auto_approve: Annotated[bool, typer.Option("--auto-approve", help="Do not ask before writing.")] = False,
) -> None:
    """Restore a backup where MetaMCP's schema is not there, or empty; all of it or nothing."""
    from metamcp_deploy.database import restore as work

    run.app = app
    passphrase = read_passphrase(run, passphrase_file)
    path = run.here / file
    if plan or not auto_approve:
        with run.console.following():
            found = work.plan(run.project, path, passphrase)
        if plan:
            planning.shown(run, found)
            return
        run.console.say("\n".join(found.lines()))
        approved(run, f"Restore {path.name}?", f"metamcp-deploy db restore --auto-approve {file}")
    with run.console.following():
        done = work.restore(run.project, path, passphrase)
    compared = "the same rows as were saved" if done.compared else "not compared: there is no FILE.json"
    text = f"{done.schema} is restored, owned by {done.owner}: {done.tables} tables, {compared}, {done.seconds:.1f} s"
    run.console.data(asdict(done), text)


@common
def adopt(run: Run, app: AppOption = None, plan: Plan = False, auto_approve: AutoApprove = False) -> None:
    """Give the app the schema that belongs to the principal of an earlier one."""
    from metamcp_deploy.database import adoption, opening

    run.app = app
    with run.console.following(), opening.opened(run.project, read_only=False, as_app=True) as seen:
        found = adoption.look(seen)
        if found is None:
            text = f"Nothing to adopt: {seen.schema.name} and all in it are the app's."
            run.console.data({"way": None, "differs": False}, text)
            return
        if plan:
            run.console.data(
                _as_dict(found), "\n".join([*found.plan.lines(), *found.statements, *found.steps])
            )
            return
        if found.way != adoption.COPY and not auto_approve:
            run.console.say("\n".join([*found.plan.lines(), *found.statements]))
            approved(run, f"Hand {seen.schema.name} over?", "metamcp-deploy db adopt --auto-approve")
        adoption.adopt(seen, found)
    done = f"{seen.identity.app} has the schema {seen.schema.name} now. Start the app again: metamcp-deploy start"
    run.console.data(_as_dict(found), done)


def _as_dict(found: Adoption) -> dict[str, object]:
    return {
        "way": found.way,
        "owners": found.owners,
        "statements": found.statements,
        "steps": found.steps,
        **found.plan.as_dict(),
    }


@common
def psql(
    run: Run,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[-- PSQL-OPTIONS]", help="Further words for psql.")
    ] = None,
    app: AppOption = None,
    write: Annotated[bool, typer.Option("--write", help="Allow writes; read only without.")] = False,
) -> None:
    """Open psql on the app's database, as you, read only; its password stands in no argument."""
    from metamcp_deploy.database import shell

    run.app = app
    code = shell.psql(run.project, words or [], write=write)
    if code:
        raise typer.Exit(code)


def read_passphrase(run: Run, file: Path | None) -> Secret | None:
    """The passphrase in a file, or on stdin.

    Raises:
        typer.BadParameter: it is short.
    """
    from metamcp_deploy.config.secret import Secret
    from metamcp_deploy.database import encryption

    if file is None:
        return None
    value = (sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")).strip("\r\n")
    if len(value) < encryption.SHORTEST:
        raise typer.BadParameter(
            f"The passphrase has {len(value)} characters; {encryption.SHORTEST} are the least."
        )
    run.console.hide([value])
    return Secret(value)


def approved(run: Run, question: str, again: str) -> None:
    """Asks.

    Raises:
        DeployError: USAGE, without a terminal.
        typer.Abort: the answer was no.
    """
    from metamcp_deploy.errors import Code, DeployError

    if not sys.stdin.isatty():
        raise DeployError(
            Code.USAGE,
            "Changing something in the database without a terminal needs your word.",
            hint=again,
        )
    typer.confirm(question, abort=True, err=True)
