"""Requests whose target goes out as it is written: other clients tidy it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection
from typing import Any


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Message
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


def ask(
    port: int, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """One request on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, headers or {})
    with connection.getresponse() as answer:
        found = Answer(answer.status, answer.headers, answer.read().decode(errors="replace"))
    connection.close()
    return found
