"""Comments in silent event streams: at the end of a line only, and only while the client reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.launcher.test_limits import said

EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
SCENE = """
  import { mock } from "node:test";
  import { PassThrough, Writable } from "node:stream";
  mock.timers.enable({ apis: ["setTimeout"] });
  const source = new PassThrough();
  let out = "";
  let reads = true;
  const held = [];
  const response = new Writable({ write: (chunk, _, done) => { out += chunk; reads ? done() : held.push(done); } });
  pipeWithComments(source, response, 20);
  const pass = () => new Promise((resolve) => setImmediate(resolve));
  const silence = async (ms) => { await pass(); mock.timers.tick(ms); await pass(); };
"""


@pytest.mark.parametrize(
    ("script", "seen"),
    [
        ("await silence(19); await silence(1); await silence(20);", ":\n:\n"),
        ("source.write('data: 1\\n\\n'); await silence(20);", "data: 1\n\n:\n"),
        ("source.write('data: 1\\n'); await silence(20); source.write('data: 2\\n\\n'); await silence(19);",
         "data: 1\n:\ndata: 2\n\n"),
        ("source.write('data: 1'); await silence(90);", "data: 1"),
        ("source.write('data: 1\\r'); await silence(90);", "data: 1\r"),
        ("source.write('data: 1\\r'); await silence(90); source.write('\\n\\r'); await silence(90);"
         "source.write('\\n'); await silence(20);", "data: 1\r\n\r\n:\n"),
        ("await silence(15); source.write('a\\n'); await silence(15); source.write('b\\n'); await silence(15);",
         "a\nb\n"),
        ("reads = false; source.write('a\\n'); await silence(90); reads = true; held.shift()(); await silence(20);",
         "a\n:\n"),
        ("source.end('a\\n'); await silence(90);", "a\n"),
        ("response.destroy(); await silence(90);", ""),
    ],
)  # fmt: skip
def test_where_comments_come(node: Path, script: str, seen: str) -> None:
    code = f"{SCENE}{script}console.log(JSON.stringify(out));"
    assert said(node, code, pipeWithComments="proxy/stream-comments.mjs") == seen


@pytest.mark.parametrize(
    ("status", "headers", "takes"),
    [
        (200, EVENTS, True),
        (200, {"content-type": "Text/Event-Stream"}, True),
        (200, EVENTS | {"content-encoding": "gzip"}, False),
        (200, EVENTS | {"content-length": "9"}, False),
        (206, EVENTS, False),
        (401, EVENTS, False),
        (200, {"content-type": "text/event-streams"}, False),
        (200, {}, False),
    ],
)
def test_which_responses_take_comments(node: Path, status: int, headers: dict[str, Any], takes: bool) -> None:
    code = f"console.log(JSON.stringify(takesComments({{ statusCode: {status}, headers: {headers!r} }})));"
    assert said(node, code, takesComments="proxy/stream-comments.mjs") is takes
