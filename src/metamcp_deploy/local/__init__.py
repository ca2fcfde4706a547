"""The embedded workspace: an HTTP server that speaks the Databricks API, runs deployed apps and owns a Postgres."""

from metamcp_deploy.local.lifecycle import Running, down, need_extra, reset, running, status, up

__all__ = ["Running", "down", "need_extra", "reset", "running", "status", "up"]
