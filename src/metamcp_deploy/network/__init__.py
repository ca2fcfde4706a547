"""One place that says how git, the package manager, the SDK, WebSocket and Node reach the outside."""

from metamcp_deploy.network.reach import Network

__all__ = ["Network"]
