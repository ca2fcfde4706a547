"""A headless Chromium, over its DevTools protocol."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from websockets.sync.client import ClientConnection, connect


class Browser:
    """One page, for which `wait` bounds each step, in seconds."""

    def __init__(self, socket: ClientConnection, wait: float = 60) -> None:
        self._socket, self._wait, self._count = socket, wait, 0

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a command; events on the way are passed over."""
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv(self._wait))
            if said.get("id") == self._count:
                assert "error" not in said, (method, said)
                result: dict[str, Any] = said["result"]
                return result

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for. None while pages change."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        return result["result"].get("value")

    def until(self, script: str) -> Any:
        """The value of an expression once it is true."""
        deadline = time.monotonic() + self._wait
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, (script, self.run("location.href + document.body?.innerText"))
            time.sleep(0.05)
        return value

    def visit(self, url: str) -> None:
        """Opens a page and waits until all of it is there."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")


@contextmanager
def browser(program: str, folder: Path, headers: dict[str, str]) -> Iterator[Browser]:
    """A browser that sends these headers with each request.

    Args:
        program: Chromium or Chrome.
        folder: for its profile.
    """
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen(
        [program, f"--user-data-dir={folder}", "--disable-dev-shm-usage", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        note, deadline = folder / "DevToolsActivePort", time.monotonic() + 60
        while not (note.is_file() and len(note.read_text().splitlines()) == 2):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with requests.Session() as session:
            session.trust_env = False
            pages = session.get(f"http://127.0.0.1:{note.read_text().split()[0]}/json", timeout=60).json()
        page = next(p for p in pages if p["type"] == "page")
        with connect(page["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            made = Browser(socket)
            made.call("Network.enable")
            made.call("Network.setExtraHTTPHeaders", headers=headers)
            yield made
    finally:
        process.terminate()
        process.wait(60)
