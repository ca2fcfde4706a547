"""What the configuration says, and starting one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from metamcp_deploy.cli.options import Run, common
from metamcp_deploy.cli.views.help import App

app = App(name="config", help="Show and check the configuration; no access needed.", no_args_is_help=True)

Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]
Origin = Annotated[bool, typer.Option("--origin", help="Also show the origin of each value.")]


FromPredecessor = Annotated[
    bool,
    typer.Option(
        "--from-predecessor",
        help="Go on with the Makefile's deployments: reads its FOLDER, app and instance.",
    ),
]
Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="FOLDER", help="Of the predecessor; default: this one.", file_okay=False, exists=True
    ),
]

Made = Annotated[
    Path | None,
    typer.Option("-C", "--directory", help="Working folder; made where it is missing.", file_okay=False),
]


@common
def init(
    run: Run,
    folder: Folder = None,
    from_predecessor: FromPredecessor = False,
    force: Force = False,
    directory: Made = None,
) -> None:
    """Write a commented metamcp.yaml and .env.template, or what goes on with the predecessor's deployments."""
    from metamcp_deploy import config

    run.directory = directory
    if from_predecessor:
        from metamcp_deploy.predecessor import found, move

        with run.console.following():
            left = found.look((folder or run.here).absolute(), run.profile)
        moved = move.write(left, run.here, force)
        run.console.data(moved.as_dict(), moved.text())
        return
    if folder is not None:
        raise typer.BadParameter("FOLDER goes with --from-predecessor; -C names the folder to write to.")
    written = [str(path) for path in config.init(run.here, force)]
    run.console.data({"written": written}, "\n".join(written))
    run.console.say(run.console.completed("Next, on this machine: metamcp-deploy deploy -t local"))
    run.console.say("In a workspace: take the # from the target dev in metamcp.yaml, and name its workspace.")


@app.command()
@common
def show(run: Run, origin: Origin = False) -> None:
    """Print the settings of a target."""
    from metamcp_deploy import config

    with run.console.following():
        rows = config.explain(run.folder, target=run.target, sets=run.sets, profile=run.profile)
    if run.output == "json":
        run.console.data({"settings": [row.as_dict() for row in rows]})
        return
    columns = ["key", "value", "origin"] if origin else ["key", "value"]
    run.console.table(columns, [[row.as_dict()[c] or "" for c in columns] for row in rows])


@app.command()
@common
def check(run: Run) -> None:
    """Validate what runs would use: metamcp.yaml and .env, every target; with -t also against the environment."""
    from metamcp_deploy import config
    from metamcp_deploy.config.problems import failure
    from metamcp_deploy.stages import used_settings

    with run.console.following():
        folder = run.folder
        problems = config.check(folder, target=run.target, sets=run.sets, profile=run.profile)
        if problems:
            raise failure(problems)
        used = config.used(folder, target=run.target, sets=run.sets, profile=run.profile)
        used_settings.check(used, folder)
    run.console.data({"problems": []}, "No problems.")


@app.command()
@common
def schema(run: Run) -> None:
    """Print the JSON Schema of metamcp.yaml, for editors."""
    from metamcp_deploy import config

    run.console.raw(json.dumps(config.schema(), indent=2) + "\n")
