"""The one place that starts programs.

`run` waits, `start` is asynchronous, `detach` leaves a daemon behind, `Piped` is one whose pipes other code reads.

A program gets the environment it is given and nothing else; `base_environment` is what most of them need. `search`
finds running programs, `end`, `end_group` and `end_marked` end them.
"""

from metamcp_deploy.process.attached import attached
from metamcp_deploy.process.ending import end, end_group, end_marked, has_ended, kill
from metamcp_deploy.process.environment import base_environment, find
from metamcp_deploy.process.exhaustion import exhausted
from metamcp_deploy.process.piped import Piped
from metamcp_deploy.process.running import Completed, run
from metamcp_deploy.process.search import marked
from metamcp_deploy.process.starting import detach, start

__all__ = [
    "Completed",
    "Piped",
    "attached",
    "base_environment",
    "detach",
    "end",
    "end_group",
    "end_marked",
    "exhausted",
    "find",
    "has_ended",
    "kill",
    "marked",
    "run",
    "start",
]
