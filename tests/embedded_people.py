"""Other people than the owner in an embedded workspace, and the tokens that their pipelines are given."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import requests

from metamcp_deploy import local

# Of the issuer of a pipeline's tokens.
POLICY = {
    "issuer": "https://token.actions.example.com",
    "subject": "repo:example/metamcp:environment:dev",
    "audience": "https://github.com/example",
    "key": "known to both",
}


def owner(running: local.Running) -> dict[str, str]:
    return {"Authorization": f"Bearer {running.token.reveal()}"}


def person(running: local.Running, name: str, **fields: Any) -> dict[str, str]:
    """Adds somebody; gives client id and secret."""
    answer = requests.post(
        f"{running.url}/local/people", json={"name": name, **fields}, headers=owner(running), timeout=120
    )
    assert answer.status_code == 200, answer.text
    made: dict[str, str] = answer.json()
    return made


def machine(made: dict[str, str]) -> dict[str, str]:
    """The environment of a login with client credentials."""
    return {"DATABRICKS_CLIENT_ID": made["client_id"], "DATABRICKS_CLIENT_SECRET": made["client_secret"]}


def grant(running: local.Running, kind: str, name: str, level: str, **who: str) -> None:
    """As the workspace's admin would."""
    body = {"access_control_list": [{**who, "permission_level": level}]}
    url = f"{running.url}/api/2.0/permissions/{kind}/{name}"
    answer = requests.patch(url, json=body, headers=owner(running), timeout=120)
    assert answer.status_code == 200, answer.text


def grant_scope(running: local.Running, scope: str, level: str, who: str) -> None:
    url = f"{running.url}/api/2.0/secrets/acls/put"
    body = {"scope": scope, "principal": who, "permission": level}
    answer = requests.post(url, json=body, headers=owner(running), timeout=120)
    assert answer.status_code == 200, answer.text


def jwt(key: str = POLICY["key"], **claims: Any) -> str:
    """A pipeline's token."""
    said = {"iss": POLICY["issuer"], "sub": POLICY["subject"], "aud": POLICY["audience"], **claims}
    parts = [{"alg": "HS256", "typ": "JWT"}, {"exp": time.time() + 300, **said}]
    text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_encoded(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest())}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
