"""The fake host, and the real client in front of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from metamcp_deploy import events
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.network import Network
from metamcp_deploy.workspace import Clock, Workspace
from tests.workspace.fake_host import Connect, FakeClock, FakeHost


@pytest.fixture
def host() -> Iterator[FakeHost]:
    fake = FakeHost()
    thread = threading.Thread(target=lambda: fake.server.serve_forever(0.01), daemon=True)
    thread.start()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()
    thread.join()


@pytest.fixture
def time() -> FakeClock:
    return FakeClock()


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate({"target": "dev"})


@pytest.fixture
def network(settings: Settings) -> Network:
    return Network.of(settings.network)


@pytest.fixture
def connect(host: FakeHost, network: Network, settings: Settings, time: FakeClock) -> Connect:
    """Connects as a service principal; time passes only in sleeps unless another clock is given."""

    def connected(clock: Clock | None = None) -> Workspace:
        return Workspace.connect(
            settings,
            network,
            host=host.url,
            client_id="id-1",
            client_secret=Secret("very-secret"),
            clock=clock or time.clock,
        )

    return connected


@pytest.fixture
def seen() -> Iterator[list[events.Event]]:
    found: list[events.Event] = []
    with events.listening(found.append):
        yield found
