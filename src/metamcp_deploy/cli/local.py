"""Commands for the embedded workspace of the working folder: `local up|down|status|reset`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metamcp_deploy.cli.options import AutoApprove, Run, common
from metamcp_deploy.cli.views.help import App
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    from metamcp_deploy.config.project import Project

app = App(name="local", help="The workspace on this machine: API, apps, Postgres.", no_args_is_help=True)


@app.command()
@common
def up(
    run: Run,
    token_ttl: Annotated[
        float | None,
        typer.Option("--token-ttl", min=1, help="Seconds a database credential lives (3600)."),
    ] = None,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", help="Postgres speaks TLS only.")] = None,
    forward_authorization: Annotated[
        bool | None,
        typer.Option(
            "--forward-authorization/--strip-authorization",
            help="Whether apps see the caller's workspace token.",
        ),
    ] = None,
    realistic: Annotated[
        bool | None,
        typer.Option("--realistic/--quick", help="Take the platform's own times, with its rate limits."),
    ] = None,
    scale: Annotated[
        float,
        typer.Option("--scale", min=0.001, help="With --realistic: times multiplied by this; 0.1 is faster."),
    ] = 1.0,
    overlap: Annotated[
        bool | None,
        typer.Option(
            "--overlap/--gap", help="Redeploy: the old process answers until the new one does, or not."
        ),
    ] = None,
    unified: Annotated[
        bool | None,
        typer.Option("--unified/--classic", help="Whether requests have to name the workspace by its id."),
    ] = None,
    instances: Annotated[
        bool | None,
        typer.Option(
            "--instances/--no-instances",
            help="Whether provisioned instances can be made, as until March 2026.",
        ),
    ] = None,
) -> None:
    """Start it with the apps that ran when it ended, or what died in it; options stay until others are given."""
    from metamcp_deploy import local

    pace = None if realistic is None else scale if realistic else 0.0

    with run.console.following():
        found = local.up(
            project_of(run),
            token_ttl=token_ttl,
            tls=tls,
            forward_authorization=forward_authorization,
            realistic=pace,
            overlap=overlap,
            unified=unified,
            instances=instances,
        )
    run.console.data({"url": found.url, "pid": found.pid, "options": found.options}, found.url)


@app.command()
@common
def down(run: Run) -> None:
    """End it and every process that came from it; its state stays."""
    from metamcp_deploy import local

    ended = local.down(project_of(run))
    there = "has ended" if ended else "was not running"
    run.console.data({"ended": ended}, f"The embedded workspace of {run.folder} {there}.")


@app.command()
@common
def status(
    run: Run,
    with_credentials: Annotated[
        bool,
        typer.Option("--with-credentials", help="Also the user's login and Postgres URIs of the superuser."),
    ] = False,
) -> None:
    """Show its URL, and the apps with theirs."""
    from metamcp_deploy import local

    found = _revealed(local.status(project_of(run), with_credentials=with_credentials))
    run.console.data(found, None if with_credentials else _shown(found))


@app.command()
@common
def reset(run: Run, auto_approve: AutoApprove = False) -> None:
    """End it and delete its state: apps, files, secrets, databases."""
    from metamcp_deploy import local

    project = project_of(run)
    if not auto_approve:
        if not sys.stdin.isatty():
            raise DeployError(
                Code.USAGE,
                f"Deleting {project.local} without a terminal needs your word.",
                hint="metamcp-deploy local reset --auto-approve",
            )
        typer.confirm(f"Delete {project.local} and all databases in it?", abort=True, err=True)
    deleted = local.reset(project)
    run.console.data(
        {"deleted": deleted},
        f"Deleted {project.local}." if deleted else f"There is no embedded workspace in {project.folder}.",
    )


def project_of(run: Run) -> Project:
    """The workspace belongs to the folder, not to a target: it can be ended with a broken metamcp.yaml, too."""
    from metamcp_deploy.config.model import Settings
    from metamcp_deploy.config.project import Project

    return Project(run.folder, Settings(target="local", embedded=True))


def _revealed(value: Any) -> Any:
    """What was asked for with `--with-credentials` is shown."""
    if isinstance(value, dict):
        return {k: _revealed(v) for k, v in value.items()}
    return value.reveal() if hasattr(value, "reveal") else value


def _shown(found: dict[str, Any]) -> str:
    if not found["running"]:
        return "not running"
    lines = [f"workspace  {found['url']}  pid {found['pid']}"]
    lines += _postgres(found.get("postgres"))
    lines += [f"app {a['name']}  {a['url']}  {a['compute']} {a['state']}" for a in found.get("apps", [])]
    lines += [f"fault {f['name']}  {f['what']}  struck {f['struck']} times" for f in found.get("faults", [])]
    return "\n".join(lines)


def _postgres(shown: dict[str, Any] | None) -> list[str]:
    if shown is None:
        return ["postgres  unknown: the workspace does not answer in time"]
    again = f"  started again {shown['restarts']} times" if shown["restarts"] else ""
    lines = [f"postgres  {shown['state']}  {shown['problem'] or ''}".rstrip() + again]
    if shown["state"] != "RUNNING":
        lines.append("  Next: metamcp-deploy local up")
    return [*lines, *(f"  {n}  {shown['host']}:{port}" for n, port in shown["endpoints"].items())]
