"""A deployed app: the whole tool as a person uses it, in a folder and an embedded workspace of its own."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import requests
import yaml

from tests import commands

TOOL = (sys.executable, "-m", "metamcp_deploy")
OWNER = "developer@example.com"


class LiveApp:
    """An app of one upstream; `settings` is the `app` section of metamcp.yaml, `secrets` what is put into the scope."""

    def __init__(self, folder: Path, env: dict[str, str], upstream: dict[str, str]) -> None:
        self.folder, self.env, self.upstream = folder, env, upstream
        self.url = ""

    def tool(self, *words: str) -> str:
        """Standard output of a command."""
        done = commands.run(*words, folder=self.folder, env=self.env)
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-4000:])
        return done.stdout

    def process(self, *words: str, **more: str) -> str:
        """Standard output of a command in a process of its own; `more` are variables for it alone."""
        done = subprocess.run(
            [*TOOL, *words], cwd=self.folder, env=self.env | more, capture_output=True, text=True, timeout=290
        )
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-4000:])
        return done.stdout

    def deploy(self, settings: dict[str, Any], secrets: dict[str, str] | None = None, **more: str) -> LiveApp:
        document = {
            "version": 1,
            "upstream": self.upstream,
            "app": {"name": "metamcp", **settings},
            "targets": {"local": {"embedded": True}},
            "default_target": "local",
        }
        (self.folder / "metamcp.yaml").write_text(yaml.safe_dump(document))
        self.tool("local", "up")
        for key, value in (secrets or {}).items():
            self.put(key, value)
        self.process("deploy", **more)
        self.url = json.loads(self.tool("local", "status", "-o", "json"))["apps"][0]["url"]
        return self

    def put(self, key: str, value: str) -> None:
        """Keeps a secret in the target's scope, as `databricks secrets put-secret` would."""
        api = json.loads(self.tool("local", "status", "-o", "json"))["url"]
        headers = {"Authorization": f"Bearer {self.workspace_token()}"}
        scope = requests.post(
            f"{api}/api/2.0/secrets/scopes/create", json={"scope": "metamcp"}, headers=headers
        )
        assert scope.status_code in (200, 400), scope.text
        body = {"scope": "metamcp", "key": key, "string_value": value}
        put = requests.post(f"{api}/api/2.0/secrets/put", json=body, headers=headers)
        assert put.status_code == 200, put.text

    def workspace_token(self) -> str:
        given = json.loads(self.tool("local", "status", "--with-credentials", "-o", "json"))
        basic = base64.b64encode(f"{given['client_id']}:{given['client_secret']}".encode()).decode()
        form = {"grant_type": "client_credentials", "scope": "all-apis"}
        answer = requests.post(
            f"{given['url']}/oidc/v1/token", data=form, headers={"Authorization": f"Basic {basic}"}
        )
        token: str = answer.json()["access_token"]
        return token

    def log(self) -> str:
        return self.tool("logs")

    def get(self, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.workspace_token()}"} | options.pop("headers", {})
        return requests.get(f"{self.url}{path}", headers=headers, timeout=120, **options)

    def launcher(self) -> psutil.Process:
        """The app's first process."""
        here = str(self.folder)
        for process in psutil.process_iter(["cmdline", "cwd"]):
            titled = "metamcp-launcher" in " ".join(process.info["cmdline"] or [])
            if titled and str(process.info["cwd"] or "").startswith(here):
                return process
        raise AssertionError("the launcher does not run")

    def processes(self) -> list[psutil.Process]:
        """All of the app's processes."""
        first = self.launcher()
        return [first, *first.children(recursive=True)]

    def reset(self) -> None:
        subprocess.run(
            [*TOOL, "local", "reset", "--auto-approve"], cwd=self.folder, env=self.env, check=False
        )
