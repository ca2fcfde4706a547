"""The redactor: what must be masked, what must stay readable, and how long hostile lines take."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

import pytest

from metamcp_deploy.redaction import MASK, Redactor

HEX = "0123456789abcdef" * 2
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
BODY = base64.b64encode(bytes(range(40, 88))).decode()

# A line, and the part of it that must not stay.
SECRETS = [
    (f"using dapi{HEX} for the call", HEX),
    (f"\x1b[31mdapi{HEX}-2\x1b[0m", HEX),
    (f"client secret dose{HEX}", HEX),
    (f"cookie jar has {JWT} in it", JWT.split(".")[1]),
    (f"cut off: {JWT[:30]}", JWT[24:30]),
    ("key sk_mt_Abc123Def456Ghi", "Abc123Def456Ghi"),
    ("Authorization: Bearer abc.DEF-123_456~7", "abc.DEF-123_456~7"),
    ("authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
    ("{ Authorization: 'token ghsomething1' }", "ghsomething1"),
    ("postgresql://me:p%40ss@db.example.com:5432/x", "p%40ss"),
    ("cloning https://x-access-token@github.example.com/a.git", "x-access-token"),
    ("password=hunter2", "hunter2"),
    ("PGPASSWORD: correct horse", "correct"),
    ("DB_PASSWORD='correct horse battery'", "horse battery"),
    ('{"client_secret": "a b c", "x": 1}', "a b c"),
    (json.dumps({"inner": '{"api_key":"k-e-y-1"}'}), "k-e-y-1"),
    ("GET /callback?access_token=abc1&state=x", "abc1"),
    ("https://blob.example.com/f?sv=1&sig=AbC%2F1", "AbC%2F1"),
    ("BETTER_AUTH_SECRET=justletters", "justletters"),
    ("x-api-key: 1f3b9", "1f3b9"),
    ("//registry.example.com/:_authToken=abcdef", "abcdef"),
    ("Set-Cookie: s=abc123; Path=/", "abc123"),
    ("better-auth.session_token=abc.def; Path=/", "abc.def"),
    ("token ghp_" + "a1B2" * 9, "a1B2a1B2"),
    ("AWS AKIA" + "ABCD1234" * 2, "ABCD1234"),
    ("key sk-proj-abcdefghij0123456789", "abcdefghij0123456789"),
    (f"-----BEGIN PRIVATE KEY-----\\n{BODY}\\n-----END PRIVATE KEY-----", BODY),
    ("\u0130 \ud800 secret=\u00e9\u00e8", "\u00e9\u00e8"),
]

# What an on-call person must be able to read.
ORDINARY = [
    "Requesting workspace token",
    "Obtained database credential token (length) 812",
    "token: expired",
    "Token expired: sign in again",
    "tokens: 12, max_tokens=4096",
    "Bearer token missing; Basic authentication only",
    'password authentication failed for user "0f3c"',
    "password: not set",
    "token_endpoint=https://h.example.com/oidc/v1/token",
    '"token_type": "Bearer"',
    "BETTER_AUTH_SECRET: missing",
    "export GIT_TOKEN=TOKEN",
    "secret=${BETTER_AUTH_SECRET}",
    "secret: ********",
    "http://127.0.0.1:8000/x?mail=a@example.com",
    "https://h.example.com/@scope/package",
    "sha256 " + HEX * 2,
    "[backend]   '0f8fad5b-d9cb-469f-a165-70867728950e',",
    "Session eyJ is short",
]


@pytest.mark.parametrize(("line", "secret"), SECRETS, ids=[line[:30] for line, _ in SECRETS])
def test_what_looks_like_a_secret(line: str, secret: str) -> None:
    redactor = Redactor()
    masked = redactor.text(line)
    assert secret not in masked
    assert "***" in masked
    assert redactor.masked >= 1
    assert redactor.text(masked) == masked


@pytest.mark.parametrize("line", ORDINARY)
def test_what_stays_readable(line: str) -> None:
    redactor = Redactor()
    assert redactor.text(line) == line
    assert redactor.masked == 0


def test_what_a_run_knows() -> None:
    value = 'plain "words" & more'
    redactor = Redactor([value, "abc"])
    for form in (value, quote(value, safe=""), json.dumps(value)):
        assert "words" not in redactor.text(f"x {form} y")
    assert redactor.text("abc is too short to be masked") == "abc is too short to be masked"
    redactor.know(["plain"])  # a part of the other
    assert redactor.text(f"<{value}>") == f"<{MASK}>"
    redactor.know(["first line\nsecond line"])
    assert redactor.text("only the second line here") == f"only the {MASK} here"


def test_a_private_key_over_several_lines() -> None:
    redactor = Redactor()
    first = redactor.lines(["before", "-----BEGIN RSA PRIVATE KEY-----", f"[backend] {BODY}"])
    then = redactor.lines(
        [BODY, "[backend] a word in between", "c2hvcnQ=", "-----END RSA PRIVATE KEY-----", "after"]
    )
    shown = [*first, *then]
    assert BODY not in "".join(shown)
    assert "c2hvcnQ" not in "".join(shown)
    assert [shown[0], shown[4], shown[-1]] == ["before", "[backend] a word in between", "after"]
    assert len(shown) == 8


def test_a_private_key_without_its_beginning() -> None:
    assert BODY not in Redactor().text(f"[backend] {BODY}")


def test_lines_stay_in_their_order() -> None:
    lines = [f"line {n}" + (f" password=p{n}x" if n % 7 == 0 else "") for n in range(20_000)]
    redactor = Redactor()
    masked = redactor.lines(lines)
    assert [line.split(" password")[0] for line in masked] == [f"line {n}" for n in range(20_000)]
    assert redactor.masked == len(range(0, 20_000, 7))
    assert not any("=p" in line for line in masked)


@pytest.mark.parametrize(
    "part", ["token", "eyJ", "://", 'secret="', "-----BEGIN ", "a", "sk-", "bearer ", "eyJaaaaaaaa.", "\\\"'"]
)
def test_a_hostile_line_of_a_megabyte(part: str) -> None:
    began = time.process_time()
    Redactor(["a known value"]).lines([part * (1_000_000 // len(part))])
    assert time.process_time() - began < 10  # a quadratic search takes hours
