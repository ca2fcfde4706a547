"""`token`: what opens a deployed app."""

from __future__ import annotations

from metamcp_deploy.cli.options import AppOption, Run, common


@common
def token(run: Run, app: AppOption = None) -> None:
    """Print an OAuth token that opens the app, for `curl -H "Authorization: Bearer $(...)"`."""
    from metamcp_deploy.deployments import access

    run.app = app
    value = access.token(run.project)
    run.console.data({"token": value}, value)
