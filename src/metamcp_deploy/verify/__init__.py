"""Starts a release as the app's container would, asks it for its pages, and ends it again."""

from metamcp_deploy.verify.proof import Proof, verify
from metamcp_deploy.verify.throwaway import available

__all__ = ["Proof", "available", "verify"]
