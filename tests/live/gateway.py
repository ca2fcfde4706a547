"""What a person does in MetaMCP's UI and an MCP client does with an endpoint, over the app's own URL."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

# An MCP server over stdio in a page of Python: one tool that repeats what it is given.
SERVER = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    method, result = message["method"], {}
    if method == "initialize":
        result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "echo", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": [{"name": "echo", "description": "Repeats.", "inputSchema": {
            "type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}}]}
    elif method == "tools/call":
        result = {"content": [{"type": "text", "text": "echo " + message["params"]["arguments"]["text"]}]}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


@dataclass
class Gateway:
    """A signed-up user of the app at `url`; `token` opens the app's proxy."""

    url: str
    token: str
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {self.token}"
        self.session.headers["Origin"] = self.url

    def sign_up(self, email: str = "developer@example.com") -> None:
        answer = self.session.post(
            f"{self.url}/api/auth/sign-up/email",
            json={"email": email, "password": "correct horse battery", "name": "Person"},
            timeout=120,
        )
        assert answer.status_code == 200, (answer.status_code, answer.text)

    def enter(self, email: str = "developer@example.com") -> None:
        """Signs in with the account that an earlier run has made, or makes it."""
        body = {"email": email, "password": "correct horse battery"}
        answer = self.session.post(f"{self.url}/api/auth/sign-in/email", json=body, timeout=120)
        if answer.status_code == 401:
            return self.sign_up(email)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return None

    def trpc(self, procedure: str, **given: Any) -> dict[str, Any]:
        answer = self.session.post(f"{self.url}/trpc/frontend.{procedure}", json=given, timeout=120)
        assert answer.status_code == 200, (procedure, answer.status_code, answer.text)
        data: dict[str, Any] = answer.json()["result"]["data"]
        return data

    def make_endpoint(
        self, folder: Path, name: str = "tools", *, source: str = SERVER, env: dict[str, str] | None = None
    ) -> str:
        """An STDIO server, a namespace with it, an endpoint and an API key, which is returned."""
        server = folder / f"{name}_server.py"
        server.write_text(source)
        made = self.trpc(
            "mcpServers.create",
            name=name,
            type="STDIO",
            command=sys.executable,
            args=[str(server)],
            env=env or {},
        )
        namespace = self.trpc("namespaces.create", name=name, mcpServerUuids=[made["data"]["uuid"]])
        limits = {"enableMaxRate": False, "enableClientMaxRate": False}
        endpoint = {"name": name, "namespaceUuid": namespace["data"]["uuid"], "createMcpServer": False}
        assert self.trpc("endpoints.create", **endpoint, **limits)["success"]
        key: str = self.trpc("apiKeys.create", name=f"client-of-{name}")["key"]
        return key


@dataclass
class Client:
    """An MCP client of one endpoint over streamable HTTP, with the workspace's bearer and MetaMCP's key."""

    url: str
    token: str
    key: str
    session_id: str | None = None
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False

    def call(self, method: str, params: dict[str, Any] | None = None, *, notify: bool = False) -> Any:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        if not notify:
            message["id"] = 1
        headers = {
            "Authorization": f"Bearer {self.token}",
            "X-API-Key": self.key,
            "Accept": "application/json, text/event-stream",
            **({"mcp-session-id": self.session_id} if self.session_id else {}),
        }
        answer = self.session.post(self.url, json=message, headers=headers, timeout=120)
        assert answer.status_code in (200, 202), (method, answer.status_code, answer.text)
        self.session_id = answer.headers.get("mcp-session-id", self.session_id)
        if notify:
            return None
        text = answer.text
        if answer.headers["content-type"].startswith("text/event-stream"):
            text = next(line[6:] for line in text.splitlines() if line.startswith("data: "))
        return json.loads(text)["result"]

    def converse(self, text: str) -> tuple[str, list[str], str]:
        """initialize, tools/list and tools/call: the server's name, the tools, the answer's text."""
        hello = {
            "protocolVersion": "2025-03-26",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        name = self.call("initialize", hello)["serverInfo"]["name"]
        self.call("notifications/initialized", notify=True)
        tools = [tool["name"] for tool in self.call("tools/list")["tools"]]
        return name, tools, self.use(next(tool for tool in tools if "__" in tool), text=text)

    def use(self, tool: str, **arguments: str) -> str:
        """The text that a tool answers with."""
        answer = self.call("tools/call", {"name": tool, "arguments": arguments})
        text: str = answer["content"][0]["text"]
        return text
