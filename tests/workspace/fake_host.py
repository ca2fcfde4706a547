"""A workspace's HTTP edge: a small server whose answers a test sets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from metamcp_deploy.workspace import Clock, Workspace


@dataclass
class Answer:
    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False  # the request arrives, its answer is lost
    late: float = 0  # seconds until it comes


@dataclass
class Request:
    method: str
    path: str
    query: str
    body: bytes
    headers: dict[str, str]


class FakeHost:
    """Answers by (method, path): a list is used up one after the other, its last element stays."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.requests: list[Request] = []
        error = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "there is none"}
        self.otherwise = Answer(404, error)
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                path, _, query = self.path.partition("?")
                request = Request(self.command, path, query, self.rfile.read(length), dict(self.headers))
                fake.requests.append(request)
                fake.respond(self, request)

            do_GET = do_POST = do_PATCH = handle_any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.on("GET", "/.well-known/databricks-config", Answer(body={"oidc_endpoint": f"{self.url}/oidc"}))
        oidc = {"authorization_endpoint": f"{self.url}/a", "token_endpoint": f"{self.url}/oidc/v1/token"}
        self.on("GET", "/oidc/.well-known/oauth-authorization-server", Answer(body=oidc))
        token = {"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600}
        self.on("POST", "/oidc/v1/token", Answer(body=token))
        self.on("GET", "/api/2.0/preview/scim/v2/Me", Answer(body={"userName": "dev@example.com"}))

    def on(self, method: str, path: str, *answers: Answer) -> None:
        self.answers[method, path] = list(answers)

    def respond(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        queue = self.answers.get((request.method, request.path))
        answer = (queue.pop(0) if len(queue) > 1 else queue[0]) if queue else self.otherwise
        time.sleep(answer.late)
        if answer.hang_up:
            handler.connection.close()
            return
        raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        handler.send_response_only(answer.status)
        for name, value in {
            "Date": handler.date_time_string(),
            "Content-Type": "application/json",
            **answer.headers,
        }.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    def asked(self, method: str, path: str) -> list[Request]:
        return [r for r in self.requests if (r.method, r.path) == (method, path)]


class FakeClock:
    """Time passes only in `sleep`."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.time, self.sleep)


Connect = Callable[..., Workspace]
