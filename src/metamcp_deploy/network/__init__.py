"""Network settings for git, the package manager, the SDK, WebSocket and Node, in one place."""

from metamcp_deploy.network.reach import Network

__all__ = ["Network"]
