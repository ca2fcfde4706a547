"""Clients that leave without DELETE: their sessions end, with the processes of their servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.live.gateway import Client, Gateway
from tests.live.live_app import LiveApp
from tests.live.test_processes import servers_of, until

CLIENTS = 3


def test_clients_that_leave(live: Callable[[], LiveApp], tmp_path: Path) -> None:
    app = live().deploy({"session_idle": 10})
    user = Gateway(app.url, app.workspace_token())
    user.enter()
    key = user.make_endpoint(tmp_path, "left")
    url = f"{app.url}/metamcp/left/mcp"
    before = servers_of(tmp_path)

    stays = Client(url, user.token, key)
    stays.converse("stays")
    headers = {
        "Authorization": f"Bearer {user.token}",
        "X-API-Key": key,
        "Accept": "application/json, text/event-stream",
    }
    named = headers | {"mcp-session-id": str(stays.session_id)}
    with stays.session.get(url, headers=named, stream=True, timeout=120) as stream:
        assert stream.status_code == 200
        clients = [Client(url, user.token, key) for _ in range(CLIENTS)]
        for client in clients:
            client.converse("leaves")
        assert len(servers_of(tmp_path)) >= CLIENTS + 1
        # Upstream keeps one process of each server in reserve.
        until(lambda: len(servers_of(tmp_path)) <= max(len(before), 1) + 1, 60)
        # Idle for longer, but its stream is open.
        assert stays.use("left__echo", text="still there") == "echo still there"

    for client in clients:
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        gone = client.session.post(
            url, json=call, headers=headers | {"mcp-session-id": str(client.session_id)}, timeout=120
        )
        assert gone.status_code == 404
    assert "MCP sessions without a request or an open stream for 10 s" in app.log()
    again = Client(url, user.token, key)
    assert again.converse("again")[2] == "echo again"
