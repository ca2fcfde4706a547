"""A service that hangs without ending is started again; the watch's clock is the test's."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.launcher.launcher_app import LAUNCHER

SERVER = """
require("node:http").createServer((req, res) => {
  res.end("ok");
  if (req.url === "/hang") setImmediate(() => { for (;;); });
}).listen(Number(process.env.PORT), "127.0.0.1");
"""
PROGRAM = """
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Service } from "%(launcher)s/services/service.mjs";
import { Ports } from "%(launcher)s/services/ports.mjs";

const { backend, frontend } = await Ports.choose();
const ports = { backend, frontend, renew: async () => false };
let time = 0;
const asked = [];
const clock = { now: () => time, sleep: async (ms) => { time += ms; asked.push(ms); await sleep(20); }, patience: 200 };
const service = new Service({
  name: "frontend", argv: [process.execPath, "-e", %(server)s], cwd: "/", env: () => ({ PORT: String(frontend) }),
  hold: Promise.resolve(), ports, ready: "/", renew: async () => {}, watched: "/static", clock,
});
const until = async (holds) => { while (!holds()) await sleep(10); };
service.run();
await until(() => service.up);
await until(() => time >= 300_000); // five minutes of answers
const before = service.up;
http.get({ host: "127.0.0.1", port: frontend, path: "/hang" }).on("error", () => {});
await until(() => !service.up);
const { state } = service;
await until(() => service.up);
console.log(`RESULT ${JSON.stringify({ before, state, every: asked[0] })}`);
await service.stop();
process.exit(0);
"""


def test_a_front_end_that_hangs_is_started_again(node: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.mjs"
    program.write_text(PROGRAM % {"launcher": LAUNCHER, "server": json.dumps(SERVER)})
    done = subprocess.run([node, program], capture_output=True, text=True, timeout=120, check=False)
    line = next((one for one in done.stdout.splitlines() if one.startswith("RESULT ")), None)
    assert line, done.stdout + done.stderr
    result = json.loads(line.removeprefix("RESULT "))
    assert result["before"]
    assert result["state"]["code"] == "frontend_hung"
    assert result["state"]["message"] == "The frontend has not answered for 60 s."
    assert result["every"] == 10_000
