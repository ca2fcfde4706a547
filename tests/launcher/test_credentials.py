"""Database credentials over an outage, and what the log knows of them."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.launcher.launcher_app import LAUNCHER, FakeWorkspace

CREDENTIAL = "/api/2.0/postgres/credentials"
SETTING = f"""
    import {{ Credentials }} from {json.dumps((LAUNCHER / "access/credentials.mjs").as_uri())};
    import {{ redact }} from {json.dumps((LAUNCHER / "log.mjs").as_uri())};
    import {{ mock }} from "node:test";
    mock.timers.enable({{ apis: ["setTimeout"] }});
    let time = 0, asked = 0, away = false, given = () => `token-marked-${{asked}}`;
    const fetchOne = async () => {{
      asked++;
      if (away) throw new Error("the workspace is away");
      return {{ token: given(), ttl: 1000 }};
    }};
    const made = new Credentials(fetchOne, {{ now: () => time, random: () => 0 }});
    const pass = async (ms) => {{ time += ms; mock.timers.tick(ms); for (let i = 0; i < 20; i++) await null; }};
    const said = () => made.password().catch((error) => error.message);
"""


def run(node: Path, code: str) -> Any:
    argv = [node, "--input-type=module", "-e", f"{SETTING}{code}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_connections_do_not_ask_a_workspace_that_is_away_each_for_itself(node: Path) -> None:
    seen = run(
        node,
        """
        const first = await said();
        away = true;
        await pass(1000); // renewed at 600, in vain; the next try is due at 2000
        const before = asked;
        const refused = [await said(), await said(), await said()];
        const meanwhile = asked - before;
        away = false;
        await pass(1000);
        console.log(JSON.stringify([first, refused, meanwhile, await said()]));
        """,
    )
    first, refused, meanwhile, renewed = seen
    assert first == "token-marked-1"
    assert refused == ["the workspace is away"] * 3
    assert meanwhile == 0
    assert renewed.startswith("token-marked-")


def test_a_start_that_asks_for_a_new_one_asks_whatever_was_before(node: Path) -> None:
    seen = run(
        node,
        """
        await made.password();
        away = true;
        await pass(1000);
        away = false;
        const { token } = await made.renew();
        console.log(JSON.stringify([token, await said()]));
        """,
    )
    assert seen[0] == seen[1] == "token-marked-3"


def test_a_fresh_credential_is_given_time_to_be_known(node: Path) -> None:
    """Lakebase may refuse one for 30 s: until then the one before serves, or the same is tried again."""
    seen = run(
        node,
        """
        const hour = async () => ({ token: `token-${++asked}`, ttl: 3_600_000 });
        const long = new Credentials(hour, { now: () => time, random: () => 0 });
        const tries = [];
        for (const wait of [0, 1_000, 2_000, 5_000, 10_000, 20_000]) {
          await pass(wait);
          await long.settle(); // an attempt to start, after the database refused the last one
          tries.push(await long.password());
        }
        const then = [];
        // Settled, renewed at 60 % of its hour, not settled yet, settled.
        for (const wait of [30_000, 2_130_000, 29_000, 1_000]) {
          await pass(wait);
          then.push(await long.password());
        }
        console.log(JSON.stringify([tries, then]));
        """,
    )
    assert seen == [["token-1"] * 6, ["token-2", "token-2", "token-2", "token-3"]]


def test_attempts_to_start_leave_no_credential_behind(node: Path, workspace: FakeWorkspace) -> None:
    code = f"""
        import {{ Workspace }} from {json.dumps((LAUNCHER / "access/workspace.mjs").as_uri())};
        const place = {{ host: {json.dumps(workspace.url)}, id: "123" }};
        const workspace = new Workspace({{ ...place, clientId: "x", clientSecret: "client-secret-marked" }});
        const one = () => workspace.credential({{ path: {json.dumps(CREDENTIAL)}, body: {{}} }});
        const each = new Credentials(one, {{ now: () => time, random: () => 0 }});
        for (let i = 0; i < 4; i++) {{
          await each.settle();
          await pass(31_000);
        }}
        const tokens = [0, 1, 2, 3].map((i) => `db-credential-marked-${{i}}`);
        const shown = () => tokens.map(redact).filter((text) => text.includes("marked"));
        await pass(121_000);
        console.log(JSON.stringify([shown(), await each.password()]));
    """
    assert run(node, code) == [["db-credential-marked-0", "db-credential-marked-1"], "db-credential-marked-3"]
    asked = [headers for _, path, headers, _ in workspace.requests if path == CREDENTIAL]
    assert {headers.get("x-databricks-workspace-id") for headers in asked} == {"123"}


def test_a_credential_that_is_given_again_stays_out_of_the_log(node: Path, workspace: FakeWorkspace) -> None:
    code = f"""
        import {{ Workspace }} from {json.dumps((LAUNCHER / "access/workspace.mjs").as_uri())};
        const workspace = new Workspace({{ host: {json.dumps(workspace.url)}, clientId: "x", clientSecret: "y" }});
        const same = new Credentials(() => workspace.credential({{ path: {json.dumps(CREDENTIAL)}, body: {{}} }}));
        for (let i = 0; i < 3; i++) await same.renew();
        await pass(121_000);
        console.log(JSON.stringify(redact("given-again-marked")));
    """
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    workspace.answers[CREDENTIAL] = (200, {"token": "given-again-marked", "expire_time": ends})
    assert run(node, code) == "********"
