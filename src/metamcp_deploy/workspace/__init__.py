"""A Databricks workspace, real or embedded: the only part that knows databricks.sdk."""

from metamcp_deploy.workspace.client import Workspace
from metamcp_deploy.workspace.clock import Clock, poll
from metamcp_deploy.workspace.refusals import ApiError
from metamcp_deploy.workspace.retries import REFUSED, UNSURE

__all__ = ["REFUSED", "UNSURE", "ApiError", "Clock", "Workspace", "poll"]
