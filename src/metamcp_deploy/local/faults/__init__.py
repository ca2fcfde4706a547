"""Faults: failures that the embedded workspace injects into its answers and database logins on request.

A test uses them so:

    from metamcp_deploy import local
    from metamcp_deploy.local import faults

    running = local.up(project)
    with faults.injected(running, faults.Fault("lost", "POST /api/2.0/apps", calls="1", by="operator")) as struck:
        ...                        # the app is created, the answer is lost
        assert struck() == 1       # how often the fault was injected

A single request can ask for one by itself: header `X-Metamcp-Fault: 429 2` (kind, and seconds). Faults end with
`local down`.
"""

from metamcp_deploy.local.faults.client import active, add, clear, injected
from metamcp_deploy.local.faults.fault import EVENTS, HEADER, Fault

__all__ = ["EVENTS", "HEADER", "Fault", "active", "add", "clear", "injected"]
