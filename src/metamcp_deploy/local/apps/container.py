"""What an app finds in its container: a new disk, and an environment of four layers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from metamcp_deploy.local.apps import deployment
from metamcp_deploy.local.apps.attachments import Attachments
from metamcp_deploy.local.context import Site


def environment(
    site: Site,
    record: dict[str, Any],
    manifest: deployment.Manifest,
    given: list[dict[str, str]],
    port: int,
    scratch: Path,
) -> dict[str, str]:
    """All that the process sees: the container's, the platform's, the database's, then the deployment's own."""
    principal, attachments = record["principal"], Attachments(site)
    platform = {
        "DATABRICKS_APP_NAME": record["name"],
        "DATABRICKS_APP_PORT": str(port),
        "DATABRICKS_HOST": site.url,
        "DATABRICKS_WORKSPACE_ID": site.identity.workspace_id,
        "DATABRICKS_CLIENT_ID": principal["client_id"],
        "DATABRICKS_CLIENT_SECRET": principal["client_secret"],
    }
    own = deployment.resolved(deployment.overlaid(manifest.env, given), attachments.values(record))
    return deployment.base(scratch) | platform | attachments.environment(record) | own


def clear(scratch: Path) -> None:
    """The disk of an app is new at each start."""
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "tmp").mkdir(parents=True)
