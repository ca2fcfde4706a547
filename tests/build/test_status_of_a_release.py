"""What a bundled launcher says of a backend with a real database: a release runs as in its container."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import requests

from metamcp_deploy.config.project import Project
from metamcp_deploy.container.environment import PROXY_HEADER
from metamcp_deploy.release.build import node
from metamcp_deploy.verify import throwaway
from metamcp_deploy.verify.container import OPERATOR, Container

OWN = "/.metamcp-deploy"


def test_status_and_page_of_a_built_release(built_sample: Project, tmp_path: Path) -> None:
    program = node.of_extra()
    assert program is not None
    app = built_sample.bundle / "app"
    with requests.Session() as session, throwaway.database() as variables:
        session.trust_env = False
        secret = {"BETTER_AUTH_SECRET": "a secret of thirty-two characters", **variables}
        with Container(app, tmp_path / "container", program.program, secret) as container:
            session.headers.update({PROXY_HEADER: container.secret, "X-Forwarded-Email": OPERATOR})

            def asked(path: str) -> requests.Response | None:
                try:
                    return session.get(container.url + path, timeout=60)
                except requests.ConnectionError:
                    return None  # it does not listen yet

            def until(wanted: Any) -> Any:
                ends = time.monotonic() + 120
                while time.monotonic() < ends:
                    answer = asked(f"{OWN}/status")
                    if answer is not None and wanted(seen := answer.json()):
                        return seen
                    time.sleep(0.05)
                raise AssertionError(container.last_lines(50))

            until(lambda seen: seen["status"] == "up")
            assert asked("/metamcp").status_code == 200  # type: ignore[union-attr]
            seen = until(lambda seen: (seen["database_pool"] or {}).get("total"))
            assert seen["database_pool"]["most"] == 10
            assert seen["database_pool"]["waiting"] == 0
            about = json.loads((app / "release.json").read_text())
            assert seen["release"]["id"] == about["id"]
            assert seen["release"]["pin"]["commit"] == about["upstream"]["commit"]
            assert seen["release"]["tool"]
            assert secret["BETTER_AUTH_SECRET"] not in json.dumps(seen)
            page = asked(f"{OWN}/")
            assert page is not None
            (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
            # Bundled, the script still needs nothing but what a browser has.
            names = (
                "const document = {getElementById() { return {} }}; globalThis.fetch = () => process.exit(7);"
            )
            done = subprocess.run(
                [program.program, "-e", f"{names}\n{script}"], capture_output=True, text=True
            )
            assert done.returncode == 7, done.stderr
            container.stop(10)
