"""The embedded workspace: an HTTP server that speaks the Databricks API, runs deployed apps and owns a Postgres."""

from metamcp_deploy.local.lifecycle import (
    Running,
    down,
    made,
    need_extra,
    reached,
    reset,
    running,
    status,
    up,
)

__all__ = ["Running", "down", "made", "need_extra", "reached", "reset", "running", "status", "up"]
