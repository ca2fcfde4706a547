"""The environment of an app: the container's, the platform's, the database's, then the deployment's own variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metamcp_deploy.container import environment as container
from metamcp_deploy.container import manifest
from metamcp_deploy.local.apps.attachments import Attachments
from metamcp_deploy.local.apps.deployment import node_folder
from metamcp_deploy.local.context import Context


async def variables(
    context: Context,
    record: dict[str, Any],
    env: tuple[dict[str, str], ...],
    given: list[dict[str, str]],
    port: int,
    scratch: Path,
) -> dict[str, str]:
    """All that the process sees.

    Args:
        context: of the workspace.
        record: the app.
        env: entries of its app.yaml.
        given: entries of the deploy call.
        port: that it has to listen on.
        scratch: its disk.

    Raises:
        FailedDeploymentError: as `manifest.resolved`.
    """
    principal, attachments = record["principal"], Attachments(context)
    credentials = {
        "DATABRICKS_WORKSPACE_ID": context.identity.workspace_id,
        "DATABRICKS_CLIENT_ID": principal["client_id"],
        "DATABRICKS_CLIENT_SECRET": principal["client_secret"],
    }
    return {
        **container.base(scratch, node_folder()),
        **container.platform(record["name"], port, context.url),
        **credentials,
        **await attachments.environment(record),
        **manifest.resolved(manifest.overlaid(env, given), attachments.values(record)),
    }
