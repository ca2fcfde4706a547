"""The command line: only registers. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from metamcp_deploy import __version__
from metamcp_deploy.cli import (
    boundary,
    config,
    db,
    destroy,
    doctor,
    faults,
    health,
    history,
    local,
    logs,
    operate,
    pipeline,
    power,
    preflight,
    release,
    rollback,
    secrets,
)
from metamcp_deploy.cli.views.help import App

app = App(
    name="metamcp-deploy",
    help="Deploys a pinned MetaMCP as a healthy Databricks App on Lakebase, or in a workspace on this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"metamcp-deploy {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


PIPELINE, OPERATE, AROUND = "The pipeline", "A deployed app", "Around it"
STAGES = (pipeline.prepare, pipeline.patch, pipeline.build, pipeline.bundle_deploy, pipeline.app_deploy)
SEEING = (power.status, doctor.doctor, health.health, logs.logs, history.history, operate.token)
ACTING = (rollback.rollback, power.start, power.stop, power.restart, destroy.destroy)

for command in (pipeline.deploy, pipeline.plan, *STAGES, preflight.preflight):
    app.command(rich_help_panel=PIPELINE)(command)
for command in (*SEEING, *ACTING):
    app.command(rich_help_panel=OPERATE)(command)
app.command("open", rich_help_panel=OPERATE)(power.open_)
for command in (pipeline.demo, config.init):
    app.command(rich_help_panel=AROUND)(command)
app.add_typer(db.app, rich_help_panel=OPERATE)
app.add_typer(secrets.app, rich_help_panel=OPERATE)
app.add_typer(config.app, rich_help_panel=AROUND)
app.add_typer(release.app, rich_help_panel=AROUND)
local.app.add_typer(faults.app)
app.add_typer(local.app, rich_help_panel=AROUND)


def main() -> None:
    """Entry point: runs the words of the command line and exits with the code of `boundary`."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # started with a closed one (`>&-`)
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
    # pydantic makes settings and options; a search for its plugins would read the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    boundary.obey_signals()
    code = boundary.guarded(lambda: app(standalone_mode=False), sys.argv[1:])
    if code == boundary.INTERRUPTED:
        # A Ctrl-C inside an import makes CPython end itself by SIGINT at exit, whatever the code: pipelines see -2.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
