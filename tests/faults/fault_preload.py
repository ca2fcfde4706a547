"""Imported once by the process that killed ones are forked from."""

import databricks.sdk  # noqa: F401

from metamcp_deploy import health  # noqa: F401
from metamcp_deploy.deployments import access  # noqa: F401
from metamcp_deploy.workspace import logs  # noqa: F401
from tests.faults import fault_acts  # noqa: F401
