"""The launcher's table of MCP sessions."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from metamcp_deploy.resources import PACKAGE

SCENE = r"""
import { Sessions } from "%s/launcher/proxy/sessions.mjs";
let now = 0;
const table = new Sessions(() => now);
const say = [];
table.opened("a", { owner: "mine", path: "/metamcp/tools/mcp" });
table.opened("a", { owner: "another's", path: "/metamcp/other/mcp" });
table.opened("b", { owner: "mine", path: "/metamcp/tools/sse" });
say.push([table.belongsTo("a", "mine"), table.belongsTo("a", "another's"), table.belongsTo("x", undefined)]);
const stream = table.seen("b");
now = 10;
table.seen("a")();
say.push(table.idle());
now = 20;
stream();
say.push(table.idle().map(({ id, since }) => [id, since]));
const late = table.seen("a");
table.closed("a");
late();
table.seen("nobody's")();
say.push(table.size, table.belongsTo("a", "mine"));
table.clear();
say.push(table.size);
console.log(JSON.stringify(say));
"""


def test_a_session_has_one_owner_and_is_idle_while_nothing_of_it_is_open(node: Path) -> None:
    program = [node, "--input-type=module", "-e", SCENE % PACKAGE]
    said: list[Any] = json.loads(subprocess.run(program, capture_output=True, check=True, timeout=60).stdout)
    assert said[0] == [True, False, False]
    assert said[1] == [{"id": "a", "path": "/metamcp/tools/mcp", "since": 10}]
    assert said[2] == [["a", 10], ["b", 20]]
    assert said[3:] == [1, False, 0]
