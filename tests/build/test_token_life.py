"""The sample outlives its database credentials: idle, while it opens connections, and while the workspace is away."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from metamcp_deploy.config.project import Project

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "token_life.py"


def test_no_login_fails_and_every_request_is_answered(built_sample: Project) -> None:
    short = ["--ttl", "5", "--minutes", "0.13", "--outage", "12"]
    argv = [sys.executable, SCRIPT, "--project", built_sample.folder, *short]
    done = subprocess.run(argv, env=os.environ, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    logins = [int(n) for n in re.findall(r"logins (\d+), failed 0", done.stdout)]
    assert len(logins) == 3
    assert min(logins) > 0, "each phase has opened connections"
