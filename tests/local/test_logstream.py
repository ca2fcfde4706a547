"""The log stream as its clients see it."""

import json
import socket

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI
from websockets.sync.client import connect

from metamcp_deploy import local

TALKER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked for", self.path, flush=True)
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *words): pass
print("one"); print("two words", flush=True); sys.stdout.buffer.write(b"bad \\xff byte\\r\\nlast"); sys.stdout.flush()
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["DATABRICKS_APP_PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def app(world):
    return world.serve({"talk.py": TALKER, "app.yaml": "command: [python3, talk.py]"})


def opened(world, app, **headers):
    given = world.headers | {"Origin": app.url} | headers
    return connect(f"{app.url.replace('http', 'ws')}/logz/stream", additional_headers=given, proxy=None)


def lines(connection, count, timeout=120.0):
    return [json.loads(connection.recv(timeout=timeout)) for _ in range(count)]


def until(connection, text):
    found = []
    while not found or text not in found[-1]["message"]:
        found += lines(connection, 1)
    return found


def test_nothing_comes_before_the_search_term(world, app):
    with opened(world, app) as connection:
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.3)
        connection.send("")
        assert connection.recv(timeout=120)


def heard(connection, text):
    """Waits for a frame with this text, whatever else comes."""
    while text not in str(connection.recv(timeout=60)):
        pass


def test_a_full_disk_below_the_log_stops_neither_app_nor_stream(world):
    app = world.serve({"talk.py": TALKER, "app.yaml": "command: [python3, talk.py]"})
    file = world.project.local / "apps" / app.name / "app.log"
    file.unlink()
    file.symlink_to("/dev/full")
    with opened(world, app) as connection:
        connection.send("")
        for number in range(12):  # more than the pipe of its output holds
            answer = requests.get(f"{app.url}/{number}{'x' * 8000}", headers=world.headers, timeout=20)
            assert answer.text == "ok"
        heard(connection, "asked for /11x")
        file.unlink()
        requests.get(f"{app.url}/after", headers=world.headers, timeout=20)
        heard(connection, "asked for /after")
    missing, last = file.read_text().splitlines()
    assert missing.endswith("[SYSTEM] 12 lines before this one could not be written.")
    assert last.endswith("asked for /after")


def test_history_then_what_comes(world, app):
    with opened(world, app) as connection:
        connection.send("")
        history = until(connection, "App started successfully")
        mine = [line["message"] for line in history if line["source"] == "APP"]
        assert mine == ["one", "two words", "bad \ufffd byte"]
        assert {line["source"] for line in history} == {"APP", "SYSTEM"}
        assert all(isinstance(line["timestamp"], float) for line in history)
        world.get(app, "/now")
        assert until(connection, "/now")[-1]["source"] == "APP"


def test_the_search_term_filters(world, app):
    with opened(world, app) as connection:
        connection.send("words")
        assert lines(connection, 1)[0]["message"] == "two words"
        world.get(app, "/words")
        assert "/words" in lines(connection, 1)[0]["message"]


def test_credentials(world, app):
    pat = f"Bearer {world.running.token.reveal()}"
    for headers in ({"Authorization": "Bearer nonsense"}, {"Authorization": pat}):
        with pytest.raises(InvalidURI, match="/oidc/v1/authorize"), opened(world, app, **headers):
            pass
    with pytest.raises(InvalidStatus) as refused, opened(world, app, Origin="http://example.com"):
        pass
    assert refused.value.response.status_code == 403


def test_plain_http_gives_nothing(world, app):
    answer = requests.get(f"{app.url}/logz/stream", headers=world.headers, timeout=120)
    assert (answer.status_code, answer.content) == (400, b"")


def test_it_ends_with_the_compute_and_so_does_the_history(world, app):
    with opened(world, app) as connection:
        connection.send("")
        until(connection, "App started")
        world.client.apps.stop(app.name)
        with pytest.raises(ConnectionClosed) as closed:
            until(connection, "never said")
        assert closed.value.rcvd.code == 1001
    world.until(lambda: world.compute(app.name) == "STOPPED")
    with pytest.raises(InvalidStatus), opened(world, app):
        pass
    world.client.apps.start(app.name)
    world.until(lambda: world.state(app.name) == "RUNNING")
    with opened(world, app) as connection:
        connection.send("")
        assert [line["message"] for line in until(connection, "App started")].count("one") == 1


def test_a_client_that_vanishes_leaves_no_complaint(own):
    app = own.serve({"talk.py": TALKER, "app.yaml": "command: [python3, talk.py]"})
    for _ in range(5):
        with opened(own, app) as connection:
            connection.send("")
            connection.recv(timeout=120)
            connection.socket.shutdown(socket.SHUT_RDWR)  # no goodbye
        own.get(app, "/after")
    local.down(own.project)
    assert "never retrieved" not in (own.project.local / "server.log").read_text()
