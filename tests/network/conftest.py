"""The company network of company.py, running, and `Network` objects made for it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from metamcp_deploy.config import model
from metamcp_deploy.network import Network, reach
from tests.network.company import Intercepting


@pytest.fixture(scope="session")
def company() -> Iterator[Intercepting]:
    """The proxy, running in a thread."""
    proxy = Intercepting(trustme.CA())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(proxy.serve, "127.0.0.1", 0)

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    proxy.port = server.sockets[0].getsockname()[1]
    yield proxy

    async def stop() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def ca_file(company: Intercepting, tmp_path: Path) -> Path:
    path = tmp_path / "company.pem"
    company.authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment without any of the variables this part reads; changes to it are undone."""
    kept = dict(os.environ)
    monkeypatch.setattr(reach, "_changed", {})
    for name in kept:
        low = name.lower()
        if "proxy" in low or low.startswith("npm_config") or "CERT" in name or "_CA" in name:
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture(params=["settings", "environment"])
def network(
    request: pytest.FixtureRequest,
    company: Intercepting,
    ca_file: Path,
    clean: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Network:
    """The same network, told by settings or by the usual variables."""
    company.seen.clear()
    if request.param == "settings":
        settings = {
            "ca_bundle": ca_file,
            "proxy": company.url,
            "npm_registry": "https://registry.example.com/npm/",
        }
        return Network.of(model.Network(**settings))
    monkeypatch.setenv("HTTPS_PROXY", company.url)
    monkeypatch.setenv("http_proxy", company.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://registry.example.com/npm/")
    return Network.of(model.Network())
