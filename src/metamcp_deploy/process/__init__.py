"""The one place that starts programs: `run` waits, `start` is asynchronous, `detach` leaves a daemon behind.

A program gets the environment it is given and nothing else; `base_environment` is what most of them need.
"""

from metamcp_deploy.process.environment import base_environment, find
from metamcp_deploy.process.groups import detach, end_group, start
from metamcp_deploy.process.marks import marked
from metamcp_deploy.process.running import Completed, run

__all__ = ["Completed", "base_environment", "detach", "end_group", "find", "marked", "run", "start"]
