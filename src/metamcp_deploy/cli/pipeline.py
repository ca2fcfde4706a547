"""The pipeline's commands: each runs one stage, `deploy` all of them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metamcp_deploy.cli import patches, planning
from metamcp_deploy.cli.options import NoCache, Only, Plan, Ref, Run, Url, Wait, common
from metamcp_deploy.stages.app_deploy import Wishes as Deployment
from metamcp_deploy.stages.build import Wishes as Build
from metamcp_deploy.stages.bundle_deploy import Wishes as Upload
from metamcp_deploy.stages.from_file import Wishes as Archive

if TYPE_CHECKING:
    from metamcp_deploy.stages.deploy import Stage

RollbackOnFailure = Annotated[
    bool,
    typer.Option(
        "--rollback-on-failure",
        help="Deploy what ran before again, where this does not become healthy; exit code 1.",
    ),
]
HEALTHY_SECONDS = 120.0


@dataclass(frozen=True)
class Pin:
    """Which upstream, and where downloads are kept."""

    url: Url = None
    ref: Ref = None
    no_cache: NoCache = False

    def of(self, run: Run) -> Run:
        """The run with these settings."""
        return run.with_flags(not self.no_cache, upstream__url=self.url, upstream__ref=self.ref)


@dataclass(frozen=True)
class Preview:
    """A plan in place of the work."""

    plan: Plan = False
    detailed_exitcode: planning.DetailedExitcode = False


@dataclass(frozen=True)
class Proof:
    """The proof that the app serves, after the last stage."""

    rollback_on_failure: RollbackOnFailure = False
    wait: Wait = HEALTHY_SECONDS


@common
def prepare(run: Run, pin: Pin, plan: Plan = False) -> None:
    """Clone the pinned upstream into build/upstream."""
    from metamcp_deploy.stages import prepare as stage

    _run(pin.of(run), [stage], (), Preview(plan))


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
        _run(run, [stage], (), Preview(plan))


@common
def build(run: Run, wishes: Build, plan: Plan = False, no_cache: NoCache = False) -> None:
    """Build the release and the bundle in build/bundle."""
    from metamcp_deploy.stages import build as stage

    if wishes.archive and (plan or not wishes.verify):
        raise typer.BadParameter("--archive writes a verified release: leave out --no-verify and --plan.")
    _run(run.with_flags(not no_cache), [stage], [wishes], Preview(plan))


@common
def bundle_deploy(run: Run, preview: Preview, archive: Archive, upload: Upload) -> None:
    """Make database, app and secret, and upload the release."""
    from metamcp_deploy.stages import bundle_deploy as stage
    from metamcp_deploy.stages import from_file

    stages: list[Stage] = [from_file, stage] if archive.source else [stage]
    _run(run, stages, [archive, upload], preview)


@common
def app_deploy(
    run: Run, preview: Preview, deployment: Deployment, rollback_on_failure: RollbackOnFailure = False
) -> None:
    """Deploy the uploaded release and follow it until it runs; with --rollback-on-failure until it is healthy."""
    from metamcp_deploy.stages import app_deploy as stage

    _run(run, [stage], [deployment], preview, Proof(True) if rollback_on_failure else None)


@common
def deploy(
    run: Run,
    pin: Pin,
    preview: Preview,
    build: Annotated[Build, Only(("clean", "verify"))],
    archive: Archive,
    upload: Upload,
    deployment: Annotated[Deployment, Only(("redeploy", "message", "force_lock"))],
    proof: Proof,
) -> None:
    """All stages, from the first that needs to run to a healthy app."""
    from metamcp_deploy.stages.deploy import ARCHIVED, PIPELINE

    if archive.source and (pin.url or pin.ref or build != Build()):
        raise typer.BadParameter("--from builds nothing: leave out --url, --ref, --clean and --no-verify.")
    stages = ARCHIVED if archive.source else PIPELINE
    _run(pin.of(run), stages, [build, archive, upload, deployment], preview, proof)


@common
def plan(
    run: Run,
    pin: Pin,
    archive: Archive,
    upload: Annotated[Upload, Only(("adopt",))],
    deployment: Annotated[Deployment, Only(("redeploy",))],
    detailed_exitcode: planning.DetailedExitcode = False,
) -> None:
    """Show what `deploy` would do, here and in the workspace; change nothing."""
    from metamcp_deploy.stages.deploy import ARCHIVED, PIPELINE

    stages = ARCHIVED if archive.source else PIPELINE
    _run(pin.of(run), stages, [archive, upload, deployment], Preview(True, detailed_exitcode))


@common
def demo(run: Run, plan: Plan = False, wait: Wait = 120) -> None:
    """The whole pipeline on a small sample that ships with the package, on this machine."""
    from metamcp_deploy.stages import demo as sample
    from metamcp_deploy.stages.deploy import PIPELINE

    if run.target not in (None, sample.TARGET):
        raise typer.BadParameter(f"A demo runs on the target `{sample.TARGET}` alone, not on `{run.target}`.")
    run.target = sample.TARGET
    run.flags |= sample.flags()
    folder = run.directory and run.folder
    proof = Proof(wait=wait)
    _run(run, PIPELINE, (), Preview(plan), proof, lambda url: sample.next_steps(url, folder, _called()))


def _called() -> str:
    """How the tool can be called again from here: by its name, or as it was called."""
    name = Path(sys.argv[0]).name
    return name if shutil.which(name) else sys.argv[0]


def _run(
    run: Run,
    stages: Sequence[Stage],
    wishes: Sequence[object],
    preview: Preview,
    proof: Proof | None = None,
    next_steps: Callable[[str], Sequence[str]] = lambda _: (),
) -> None:
    """Plans the stages, or runs them in their order, proves that the app serves, and reports."""
    from metamcp_deploy.rollback import execution
    from metamcp_deploy.stages import deploy, full_plan

    if any(isinstance(w, Archive) and not w.source and (w.sha256 or w.id) for w in wishes):
        raise typer.BadParameter("--sha256 and --id go with --from.")
    if preview.plan:
        with run.console.following():
            plan = full_plan.look(run.project, stages, wishes)
        planning.shown(run, plan, preview.detailed_exitcode)
        return
    if preview.detailed_exitcode:
        raise typer.BadParameter("--detailed-exitcode goes with --plan.")
    back = proof is not None and proof.rollback_on_failure
    with run.console.following(), deploy.working(run.project), execution.on_failure(run.project, back):
        outcomes = deploy.run(run.project, stages, wishes)
        report = deploy.healthy(run.project, proof.wait) if proof else None
    document: dict[str, Any] = {"stages": [vars(o) for o in outcomes]}
    if report is not None:
        document |= {"health": report.as_dict(), "url": report.url}
        rows = deploy.summary(run.project, outcomes, report)
        run.console.summary("MetaMCP is up.", rows, next_steps(report.url))
    if run.output == "json":
        run.console.data(document)
