"""The pipeline's commands: each runs one stage, `deploy` all of them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metamcp_deploy.cli import patches, planning
from metamcp_deploy.cli.options import ForceLock, NoCache, Plan, Ref, Run, Url, common

if TYPE_CHECKING:
    from metamcp_deploy.stages.deploy import Wishes

Clean = Annotated[bool, typer.Option("--clean", help="Build from nothing.")]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Do not start the release to see that it runs.")]
Redeploy = Annotated[bool, typer.Option("--redeploy", help="Deploy although nothing changed.")]
Adopt = Annotated[bool, typer.Option("--adopt", help="Take over an app of that name that others made.")]
VerifyUpload = Annotated[
    bool, typer.Option("--verify-upload", help="Read back every file of the release, and compare.")
]
RollbackOnFailure = Annotated[
    bool,
    typer.Option(
        "--rollback-on-failure",
        help="Deploy what ran before again, where this does not become healthy; exit code 1.",
    ),
]
ReleaseId = Annotated[
    str | None,
    typer.Option(
        "--release", metavar="ID", help="An earlier release in the workspace, with the settings of now."
    ),
]
Message = Annotated[str | None, typer.Option("-m", "--message", help="Kept in the deployment's record.")]
Archive = Annotated[
    Path | None, typer.Option("--archive", metavar="FILE", help="Write the verified bundle to one file.")
]
From = Annotated[
    Path | None,
    typer.Option("--from", metavar="FILE", help="Take the bundle from such a file; build nothing."),
]
HEALTHY_SECONDS = 120.0
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for a healthy answer.")]


@common
def prepare(
    run: Run, url: Url = None, ref: Ref = None, plan: Plan = False, no_cache: NoCache = False
) -> None:
    """Clone the pinned upstream into build/upstream."""
    _stages(run.with_flags(not no_cache, upstream__url=url, upstream__ref=ref), ["prepare"], plan)


@common
def patch(
    run: Run,
    plan: Plan = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print the whole change as a unified diff.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Print a table of the patches.")] = False,
) -> None:
    """Make build/metamcp: the pinned tree with overrides and patches."""
    from metamcp_deploy.stages import patch as stage

    if plan + diff + listing > 1:
        raise typer.BadParameter("--plan, --diff and --list exclude each other.")
    if diff:
        change = stage.difference(run.project)
        run.console.data({"diff": change}, change)
    elif listing:
        patches.shown(run)
    else:
        _stages(run, ["patch"], plan)


@common
def build(
    run: Run,
    plan: Plan = False,
    clean: Clean = False,
    no_verify: NoVerify = False,
    archive: Archive = None,
    no_cache: NoCache = False,
) -> None:
    """Build the release and the bundle in build/bundle."""
    from metamcp_deploy.stages.deploy import Wishes

    if archive and (no_verify or plan):
        raise typer.BadParameter("--archive writes a verified release: leave out --no-verify and --plan.")
    wishes = Wishes(clean=clean, verify=not no_verify, archive=archive)
    _stages(run.with_flags(not no_cache), ["build"], plan, wishes)


@common
def bundle_deploy(
    run: Run,
    plan: Plan = False,
    detailed_exitcode: planning.DetailedExitcode = False,
    adopt: Adopt = False,
    force_lock: ForceLock = False,
    source: From = None,
    verify_upload: VerifyUpload = False,
) -> None:
    """Make database, app and secret, and upload the release."""
    from metamcp_deploy.stages.deploy import Wishes, from_file

    stages = ["bundle-deploy"]
    wishes = Wishes(force_lock=force_lock, source=source, adopt=adopt, verify_upload=verify_upload)
    _stages(run, from_file(stages) if source else stages, plan, wishes, detailed=detailed_exitcode)


@common
def app_deploy(
    run: Run,
    plan: Plan = False,
    detailed_exitcode: planning.DetailedExitcode = False,
    redeploy: Redeploy = False,
    message: Message = None,
    force_lock: ForceLock = False,
    release: ReleaseId = None,
    rollback_on_failure: RollbackOnFailure = False,
) -> None:
    """Deploy the uploaded release and follow it until it runs; with --rollback-on-failure until it is healthy."""
    from metamcp_deploy.stages.deploy import Wishes

    wishes = Wishes(redeploy=redeploy, message=message, force_lock=force_lock, release=release)
    wait = HEALTHY_SECONDS if rollback_on_failure else None
    _stages(
        run, ["app-deploy"], plan, wishes, wait=wait, detailed=detailed_exitcode, back=rollback_on_failure
    )


@common
def deploy(
    run: Run,
    url: Url = None,
    ref: Ref = None,
    plan: Plan = False,
    detailed_exitcode: planning.DetailedExitcode = False,
    clean: Clean = False,
    redeploy: Redeploy = False,
    message: Message = None,
    adopt: Adopt = False,
    force_lock: ForceLock = False,
    no_verify: NoVerify = False,
    source: From = None,
    verify_upload: VerifyUpload = False,
    rollback_on_failure: RollbackOnFailure = False,
    wait: Wait = HEALTHY_SECONDS,
    no_cache: NoCache = False,
) -> None:
    """All stages, from the first that needs to run to a healthy app."""
    from metamcp_deploy.stages.deploy import STAGES, Wishes, from_file

    if source and (url or ref or clean or no_verify):
        raise typer.BadParameter("--from builds nothing: leave out --url, --ref, --clean and --no-verify.")
    run.with_flags(not no_cache, upstream__url=url, upstream__ref=ref)
    wishes = Wishes(
        clean,
        redeploy,
        message,
        force_lock,
        not no_verify,
        source=source,
        adopt=adopt,
        verify_upload=verify_upload,
    )
    stages = from_file(STAGES) if source else STAGES
    _stages(run, stages, plan, wishes, wait=wait, detailed=detailed_exitcode, back=rollback_on_failure)


@common
def plan(
    run: Run,
    url: Url = None,
    ref: Ref = None,
    detailed_exitcode: planning.DetailedExitcode = False,
    redeploy: Redeploy = False,
    adopt: Adopt = False,
    source: From = None,
    no_cache: NoCache = False,
) -> None:
    """Show what `deploy` would do, here and in the workspace; change nothing."""
    from metamcp_deploy.stages.deploy import STAGES, Wishes, from_file

    run.with_flags(not no_cache, upstream__url=url, upstream__ref=ref)
    wishes = Wishes(redeploy=redeploy, source=source, adopt=adopt)
    _planned(run, from_file(STAGES) if source else STAGES, wishes, detailed_exitcode)


@common
def demo(run: Run, plan: Plan = False, wait: Wait = 120) -> None:
    """The whole pipeline on a small sample that ships with the package, on this machine."""
    from metamcp_deploy.stages import demo as sample
    from metamcp_deploy.stages.deploy import STAGES

    if run.target not in (None, sample.TARGET):
        raise typer.BadParameter(f"A demo runs on the target `{sample.TARGET}` alone, not on `{run.target}`.")
    run.target = sample.TARGET
    run.flags |= sample.flags()
    folder = run.directory and run.folder
    _stages(run, STAGES, plan, wait=wait, next_steps=lambda url: sample.next_steps(url, folder, _called()))


def _called() -> str:
    """How the tool can be called again from here: by its name, or as it was called."""
    name = Path(sys.argv[0]).name
    return name if shutil.which(name) else sys.argv[0]


def _stages(
    run: Run,
    names: Sequence[str],
    plan: bool,
    wishes: Wishes | None = None,
    *,
    wait: float | None = None,
    detailed: bool = False,
    back: bool = False,
    next_steps: Callable[[str], Sequence[str]] = lambda _: (),
) -> None:
    """Runs or plans stages, then (with `wait`) health, and reports; with `back` a failure is taken back."""
    from metamcp_deploy.rollback import execution
    from metamcp_deploy.stages import deploy as stages

    if plan:
        _planned(run, names, wishes or stages.Wishes(), detailed)
        return
    if detailed:
        raise typer.BadParameter("--detailed-exitcode goes with --plan.")
    with run.console.following(), stages.working(run.project), execution.on_failure(run.project, back):
        outcomes = stages.run(run.project, names, wishes)
        report = None if wait is None else stages.healthy(run.project, wait)
    document: dict[str, Any] = {"stages": [vars(o) for o in outcomes]}
    if report is not None:
        document |= {"health": report.as_dict(), "url": report.url}
        rows = stages.summary(run.project, outcomes, report)
        run.console.summary("MetaMCP is up.", rows, next_steps(report.url))
    if run.output == "json":
        run.console.data(document)


def _planned(run: Run, names: Sequence[str], wishes: Wishes, detailed: bool) -> None:
    from metamcp_deploy.stages import full_plan

    with run.console.following():
        found = full_plan.look(run.project, names, wishes)
    planning.shown(run, found, detailed)
