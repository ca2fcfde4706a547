"""What GitHub gives a workflow that may have an id token: an address that mints one for whoever holds a secret."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.embedded_people import jwt


class Issuer:
    """Mints tokens while the block lasts; `audiences` are those that were asked for."""

    def __init__(self, **claims: Any) -> None:
        self.audiences: list[str] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                granted = self.headers.get("Authorization") == "Bearer of-this-job"
                audience = parse_qs(urlsplit(self.path).query).get("audience", [""])[0]
                issuer.audiences.append(audience)
                content = json.dumps({"value": jwt(aud=audience, **claims)} if granted else {}).encode()
                self.send_response(200 if granted else 401)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def environment(self) -> dict[str, str]:
        """As a step of a workflow sees it."""
        url = f"http://127.0.0.1:{self._server.server_port}/token?api-version=2.0"
        return {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-this-job"}

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.01), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
