"""A throw-away or lasting PostgreSQL 16 from the binaries of the extra `local`."""

from metamcp_deploy.postgres.cluster import Cluster
from metamcp_deploy.postgres.transfer import transfer

__all__ = ["Cluster", "transfer"]
