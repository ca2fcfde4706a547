"""What the proxy in front of an app lets in, hands on and keeps back."""

import hashlib
import json
import re
import socket
import time
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.sync.client import connect

from metamcp_deploy import local


@pytest.fixture(scope="module")
def app(world):
    return world.serve()


def without_login(app, path="/", **headers):
    return requests.get(app.url + path, headers=headers, timeout=120, allow_redirects=False)


def test_a_bearer_opens_the_app(world, app):
    assert world.get(app, "/").text == "ok"


def test_others_are_sent_to_a_login_page(world, app):
    for headers in (
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": f"Bearer {world.running.token.reveal()}"},
        {"Cookie": f"__databricks_app_{app.name}=nonsense"},
    ):
        answer = without_login(app, "/some?x=1", **headers)
        assert answer.status_code == 302, headers
        assert answer.headers["Location"].startswith(f"{world.running.url}/oidc/v1/authorize?")
        page = requests.get(answer.headers["Location"], timeout=120)
        assert page.status_code == 200
        assert "<html" in page.text


def test_a_browser_signs_in_with_one_click(world, app):
    browser = requests.Session()
    page = browser.get(f"{app.url}/raw?x=1&y=%2F", timeout=120)
    nonce = re.search(r'name="nonce" value="([^"]+)"', page.text)[1]
    landed = browser.post(page.url, data={"nonce": nonce}, timeout=120)
    assert landed.url == f"{app.url}/raw?x=1&y=%2F"
    assert landed.text == "/raw?x=1&y=%2F"
    seen = browser.get(f"{app.url}/headers", timeout=120).json()
    assert seen["x-forwarded-email"] == "developer@example.com"
    assert "cookie" not in seen
    # A session is for one app, and a click for one sign-in.
    other = world.serve()
    assert browser.get(other.url, timeout=120, allow_redirects=False).status_code == 302
    fresh = requests.Session()
    assert "nonce" in fresh.post(page.url, data={"nonce": nonce}, timeout=120).text
    assert fresh.get(app.url, timeout=120, allow_redirects=False).status_code == 302


def test_sign_in_does_not_redirect_elsewhere(world, app):
    for path in (
        "//example.com/x",
        "https://example.com/",
        "/\\example.com",
        "/\t/example.com",
        "/\n/example.com",
    ):
        browser = requests.Session()
        page = browser.get(f"{app.url}/", timeout=120)
        query = parse_qs(urlsplit(page.url).query)
        import base64

        query["state"] = [base64.urlsafe_b64encode(path.encode()).decode()]
        nonce = re.search(r'value="([^"]+)"', page.text)[1]
        url = f"{world.running.url}/oidc/v1/authorize"
        landed = browser.post(url, params=query, data={"nonce": nonce}, timeout=120)
        assert landed.url == f"{app.url}/"


def test_only_a_path_says_where_a_request_goes(world, app):
    """A target put behind the app's address as text would make that a login, and name another host."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.2)
        place = f"127.0.0.1:{other.getsockname()[1]}"
        targets = [("CONNECT", f"@{place}"), ("CONNECT", f"x@{place}"), ("CONNECT", place), ("OPTIONS", "*")]
        for method, target in [*targets, ("GET", f"http://{place}/"), ("GET", f"x://@{place}/")]:
            credential = f"Authorization: {world.headers['Authorization']}"
            head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{credential}\r\n\r\n"
            with socket.create_connection(("127.0.0.1", urlsplit(app.url).port), timeout=120) as s:
                s.sendall(head.encode())
                assert b" 400 " in s.recv(4096).splitlines()[0], (method, target)
        with pytest.raises(TimeoutError):
            other.accept()


def test_the_sessions_own_cookie_stays_and_others_pass(world, app):
    answer = world.get(app, "/headers", headers={"Cookie": f"a=1; __databricks_app_{app.name}=x; b=2"})
    assert answer.json()["cookie"] == "a=1; b=2"


def test_forwarded_headers_cannot_be_forged(world, app):
    forged = {
        "X-Forwarded-Email": "boss@example.com",
        "x_forwarded_email": "boss@example.com",
        "X-Forwarded-User": "boss",
        "X-Forwarded-Access-Token": "t",
        "X-Real-Ip": "1.2.3.4",
        "X-Request-Id": "mine",
        "X-Forwarded-Host": "evil.example.com",
        "Forwarded": "host=evil.example.com",
        "X-Databricks-Org-Id": "1",
        "Connection": "keep-alive, X-Secret",
        "X-Secret": "hop",
        "X-Api-Key": "kept",
    }
    seen = world.get(app, "/headers", headers=forged).json()
    assert "boss" not in json.dumps(seen)
    assert "evil" not in json.dumps(seen)
    place = app.url.removeprefix("http://")
    expected = {
        "host": place,
        "x-forwarded-host": place,
        "x-forwarded-proto": "http",
        "x-forwarded-email": "developer@example.com",
        "x-forwarded-preferred-username": "Developer",
        "x-real-ip": "127.0.0.1",
        "x-api-key": "kept",
    }
    assert seen | expected == seen
    assert seen["x-request-id"] != "mine"
    assert not {
        "x-forwarded-access-token",
        "forwarded",
        "x-secret",
        "x-databricks-org-id",
        "authorization",
    } & set(seen)


def test_the_token_can_be_handed_on(tmp_path_factory, world):
    from tests.local.embedded_world import world_in

    own = world_in(tmp_path_factory.mktemp("forwarding"), forward_authorization=True)
    try:
        app = own.serve()
        seen = own.get(app, "/headers").json()
        assert seen["authorization"] == own.headers["Authorization"]
    finally:
        local.down(own.project)


def test_an_apps_principal_needs_a_grant(world, app):
    other = world.create(world.name())
    headers = dict(world.as_app(other).config.authenticate())
    assert without_login(app, "/", **headers).status_code == 302
    from databricks.sdk.service.apps import AppAccessControlRequest, AppPermissionLevel

    grant = AppAccessControlRequest(
        service_principal_name=other.service_principal_client_id, permission_level=AppPermissionLevel.CAN_USE
    )
    world.client.apps.update_permissions(app.name, access_control_list=[grant])
    assert without_login(app, "/", **headers).text == "ok"


def test_paths_and_answers_pass_as_they_are(world, app):
    assert world.get(app, "/raw").text == "/raw"
    answer = requests.Request("GET", app.url, headers=world.headers).prepare()
    answer.url = f"{app.url}/raw/../raw%2Fa//b?x=%20&y"
    with requests.Session() as session:
        assert session.send(answer, timeout=120).status_code == 200
    moved = world.get(app, "/redirect")
    assert (moved.status_code, moved.headers["Location"]) == (303, "/elsewhere")
    assert moved.raw.headers.getlist("set-cookie") == ["a=1", "b=2"]
    head = requests.head(f"{app.url}/big?size=1000", headers=world.headers, timeout=120)
    assert (head.headers["Content-Length"], head.content) == ("1000", b"")


def test_events_arrive_when_they_happen(world, app):
    times: list[float] = []
    with world.get(app, "/events", stream=True) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        times.extend(time.monotonic() for line in answer.iter_lines(chunk_size=1) if line)
    assert len(times) == 3
    assert times[2] - times[0] > 0.2


def test_big_bodies_pass_both_ways(world, app):
    content = b"0123456789abcdef" * (4 * 1024 * 1024)

    def chunks():
        for start in range(0, len(content), 1 << 20):
            yield content[start : start + (1 << 20)]

    for body in (content, chunks()):
        answer = requests.post(f"{app.url}/digest", data=body, headers=world.headers, timeout=120)
        assert answer.json() == {"size": len(content), "digest": hashlib.sha256(content).hexdigest()}
    size = 0
    with world.get(app, f"/big?size={80_000_000}", stream=True) as answer:
        for chunk in answer.iter_content(1 << 20):
            size += len(chunk)
    assert size == 80_000_000


def test_a_body_that_breaks_off_is_not_taken_for_whole(world, app):
    with pytest.raises(requests.RequestException):
        _ = world.get(app, "/cut").content


def test_a_client_that_leaves_ends_the_apps_request(world, app):
    place = urlsplit(app.url)
    login = f"Host: {place.netloc}\r\nAuthorization: {world.headers['Authorization']}\r\n"
    for request in (
        f"POST /digest HTTP/1.1\r\n{login}Content-Length: 1000\r\n\r\nhalf",
        f"GET /silence HTTP/1.1\r\n{login}\r\n",
    ):
        before = int(world.get(app, "/aborted").text)
        with socket.create_connection((place.hostname, place.port)) as sock:
            sock.sendall(request.encode())
            time.sleep(0.2)  # so that the app has it
        world.until(lambda before=before: int(world.get(app, "/aborted").text) == before + 1)


def test_upgrades_pass(world, app):
    url = app.url.replace("http", "ws") + "/socket"
    with connect(url, additional_headers=world.headers, proxy=None) as connection:
        assert connection.recv(timeout=120) == "developer@example.com"
    with pytest.raises(InvalidURI, match="/oidc/v1/authorize"), connect(url, proxy=None):
        pass  # the library follows the redirect to the login page


def test_502_when_nothing_listens(world):
    app = world.create(world.name())
    assert world.get(app, "/").status_code == 502
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(app.url.replace("http", "ws"), additional_headers=world.headers, proxy=None),
    ):
        pass
    assert refused.value.response.status_code == 502
