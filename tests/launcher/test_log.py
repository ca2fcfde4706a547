"""What the log keeps to itself: secrets in each form in which programs print them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from tests.launcher import launcher_programs as programs
from tests.launcher.launcher_app import LAUNCHER, App

Launch = Callable[..., App]
MODULE = json.dumps((LAUNCHER / "log.mjs").as_uri())
KEY = '-----BEGIN KEY-----\nfirst-marked-0a1b\r\n  "second-marked/2c3d+"\nend\n-----END KEY-----\n'
MARKED = ["first-marked", "second-marked", "2c3d"]


def run(node: Path, code: str) -> str:
    code = f"import {{ conceal, recent, redact, reveal, say }} from {MODULE};{code}"
    return subprocess.run(
        [node, "--input-type=module", "-e", code], capture_output=True, text=True, check=True
    ).stdout


def test_a_secret_of_several_lines_is_starred_out_in_every_form(launch: Launch) -> None:
    printing = """
      const key = atStart.OIDC_CLIENT_SECRET;
      console.log(key);
      console.log(JSON.stringify({ key }));
      console.log(encodeURIComponent(key));
      for (const line of key.split("\\n")) console.log(`a line: ${encodeURIComponent(line.trim())}`);
      console.log("all of it was printed");
    """
    app = launch(env={"OIDC_CLIENT_SECRET": KEY}, backend=programs.BACKEND + printing).up()
    app.logged("all of it was printed")
    assert app.log.count("a line: ****") == 4
    assert [m for m in MARKED if m in app.log] == []
    assert quote(KEY, safe="") not in app.log


def test_a_secret_within_another_does_not_uncover_the_rest(node: Path) -> None:
    assert run(node, "conceal('abcdef'); conceal('abcdef-marked'); say('x abcdef-marked y');").endswith(
        "x ******** y\n"
    )


def test_what_is_cut_off_is_starred_out_before(node: Path) -> None:
    code = "conceal('secret-marked'); say('x'.repeat(1993) + 'secret-marked');"
    code += "console.log(JSON.stringify(recent()));"
    assert "secre" not in run(node, code)


def test_what_is_concealed_twice_stays_so_until_it_was_revealed_twice(node: Path) -> None:
    code = "const seen = []; const look = () => seen.push(redact('token-marked'));"
    code += "conceal('token-marked'); conceal('token-marked'); look();"
    code += "reveal('token-marked'); look(); reveal('token-marked'); look(); reveal('token-marked'); look();"
    code += "conceal('token-marked'); look(); console.log(JSON.stringify(seen));"
    stars, plain = "********", "token-marked"
    assert json.loads(run(node, code)) == [stars, stars, plain, plain, stars]


def test_lines_that_repeat_are_folded(node: Path) -> None:
    module = json.dumps((LAUNCHER / "log.mjs").as_uri())
    code = f"""
      import {{ mock }} from "node:test";
      mock.timers.enable({{ apis: ["setTimeout"] }});
      const {{ passOn }} = await import({module});
      const id = () => `0f8fad5b-d9cb-469f-a165-${{String(Math.random()).slice(2, 14).padEnd(12, "0")}}`;
      for (let i = 0; i < 1000; i++) {{
        passOn("backend", `Found session ${{id()}} in ${{i}}.5 ms`);
        passOn("frontend", "always the same");
        if (i % 100 === 0) passOn("backend", `one of a few: ${{"abcdefghij"[i / 100]}}`);
      }}
      mock.timers.tick(60_000);
      passOn("backend", "Found session 7 in 8 ms");
    """
    done = subprocess.run(
        [node, "--input-type=module", "-e", code], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 20 + 20 + 10 + 2 + 1
    assert lines[-3].startswith("[backend] Found session 0f8fad5b")
    assert lines[-3].endswith("in 999.5 ms (repeated 980 times, ids and numbers aside)")
    assert lines[-2] == "[frontend] always the same (repeated 980 times, ids and numbers aside)"
    assert lines[-1] == "[backend] Found session 7 in 8 ms"


def test_what_was_folded_is_logged_at_the_end(launch: Launch) -> None:
    app = launch(backend=programs.BACKEND + "for (let i = 0; i < 3000; i++) console.log(`line ${i}`);").up()
    app.stop()
    assert "[backend] line 2999 (repeated 2980 times, ids and numbers aside)" in app.log
    assert app.log.count("[backend] line ") == 21
