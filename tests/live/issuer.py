"""An OpenID Connect issuer of the test's own: one person, signed in already."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit


class Issuer:
    """Gives codes to whoever asks, and a token for a code to a client that knows its secret and the verifier."""

    def __init__(self, client_id: str, client_secret: str, person: dict[str, Any]) -> None:
        self.client = (client_id, client_secret)
        self.person = person
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: set[str] = set()
        self.refused: list[str] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer._get(self)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"] or 0)).decode()
                status, answer = issuer._token(
                    dict(self.headers), {k: v[0] for k, v in parse_qs(body).items()}
                )
                issuer._answer(self, status, answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def discovery(self) -> str:
        return f"{self.url}/.well-known/openid-configuration"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        asked = {k: v[0] for k, v in parse_qs(parts.query).items()}
        if parts.path == "/.well-known/openid-configuration":
            names = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
            known: dict[str, Any] = {f"{name}_endpoint": f"{self.url}/{path}" for name, path in names.items()}
            return self._answer(request, 200, {"issuer": self.url, **known})
        if parts.path == "/authorize" and asked.get("client_id") == self.client[0]:
            code = secrets.token_hex(8)
            self.codes[code] = asked
            back = urlencode({"code": code, "state": asked["state"]})
            request.send_response(302)
            request.send_header("location", f"{asked['redirect_uri']}?{back}")
            request.send_header("content-length", "0")
            return request.end_headers()
        bearer = (request.headers["authorization"] or "").removeprefix("Bearer ")
        if parts.path == "/userinfo" and bearer in self.tokens:
            return self._answer(request, 200, self.person)
        self.refused.append(request.path)
        return self._answer(request, 403, {"error": "access_denied"})

    def _token(self, headers: dict[str, str], form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        basic = next((v for k, v in headers.items() if k.lower() == "authorization"), "").removeprefix(
            "Basic "
        )
        shown = (
            base64.b64decode(basic).decode().partition(":")[::2]
            if basic
            else (form.get("client_id", ""), form.get("client_secret", ""))
        )
        if (
            asked is None
            or shown != self.client
            or form.get("redirect_uri") != asked["redirect_uri"]
            or asked.get("code_challenge") != base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        ):
            self.refused.append(json.dumps(form))
            return 400, {"error": "invalid_grant"}
        token = secrets.token_hex(16)
        self.tokens.add(token)
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 300}

    @staticmethod
    def _answer(request: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        request.send_response(status)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)
