"""Acts of a test at the moment when the tool makes an HTTP request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests


def nothing() -> None:
    """An act that does nothing."""


@contextmanager
def around(
    wanted: str, before: Callable[[], object] = nothing, after: Callable[[], object] = nothing
) -> Iterator[None]:
    """For the time of the block, acts before each request `METHOD /path`, and after it was answered.

    What an act raises ends the tool's call; an act's own requests count, too.
    """
    send = requests.Session.send

    def sent(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        matches = f"{request.method} {urlsplit(str(request.url)).path}" == wanted
        if matches:
            before()
        response = send(self, request, **options)
        if matches:
            after()
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "send", sent)
        yield


def interrupt() -> None:
    """Ctrl-C, or a kill."""
    raise KeyboardInterrupt
