"""The programs of a tiny release: what the launcher starts in place of the real backend, front end and migrator."""

from __future__ import annotations

import json

BACKEND = r"""
import http from "node:http";
import { spawn, fork } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";

const atStart = { ...process.env };
console.log("backend says hello");
console.error("backend warns");

function ask(want, name) {
  return new Promise((resolve, reject) => {
    const id = randomUUID();
    const on = (m) => {
      if (m?.id !== id) return;
      process.off("message", on);
      if (m.error === undefined) resolve(m.value);
      else reject(new Error(m.error));
    };
    process.on("message", on);
    process.send({ id, want, name });
  });
}

const json = (res, value) => {
  res.setHeader("content-type", "application/json");
  res.end(JSON.stringify(value));
};

const routes = {
  "/health": (req, res) => json(res, { status: "ok" }),
  "/env": (req, res) => json(res, { secret: atStart.BETTER_AUTH_SECRET, now: process.env }),
  "/sse": (req, res, url) => {
    res.writeHead(200, { "content-type": "text/event-stream" });
    res.flushHeaders();
    let n = 0;
    const timer = setInterval(() => res.write(`data: ${n++}\n\n`), Number(url.searchParams.get("every") ?? 100));
    res.on("close", () => { clearInterval(timer); aborted++; });
  },
  "/aborted": (req, res) => json(res, aborted),
  "/slow": (req, res, url) => setTimeout(() => res.end("done"), Number(url.searchParams.get("ms"))),
  "/die": (req, res) => { console.log("last words"); process.exit(3); },
  "/cut": (req, res) => {
    res.writeHead(200, { "content-length": "1000" });
    res.write("part");
    setTimeout(() => res.destroy(), 50);
  },
  "/early": (req, res) => { res.writeHead(413); res.end("too big"); },
  "/cookies": (req, res) => { res.setHeader("set-cookie", ["a=1", "b=2"]); res.writeHead(201, "Made"); res.end(); },
  "/hash": (req, res) => {
    const hash = createHash("sha256");
    let bytes = 0;
    req.on("data", (c) => { hash.update(c); bytes += c.length; });
    req.on("end", () => json(res, { bytes, sha256: hash.digest("hex") }));
  },
  "/big": (req, res, url) => {
    const chunk = Buffer.alloc(65536, "x");
    let left = Number(url.searchParams.get("mb")) * 16;
    const more = () => {
      while (left > 0) { left--; if (!res.write(chunk)) return void res.once("drain", more); }
      res.end();
    };
    more();
  },
  "/ask": (req, res, url) => ask(url.searchParams.get("want"), url.searchParams.get("name") ?? undefined)
    .then((value) => json(res, { value }), (error) => json(res, { error: error.message })),
  // An MCP server that ignores the end of its input and SIGTERM, in a session of its own, with children, one of
  // which is in another session.
  "/spawn": (req, res) => {
    const loop = "trap '' TERM; while :; do sleep 1; done";
    const script = `trap '' TERM; (${loop}) & setsid sh -c "${loop}" & ${loop}`;
    const stdio = ["pipe", "ignore", "ignore"];
    const child = spawn("sh", ["-c", script], { detached: true, stdio, env: { PATH: process.env.PATH } });
    child.unref();
    child.once("spawn", () => json(res, child.pid));
  },
  // What MetaMCP does when a session ends; `alone` is a server in MetaMCP's own group, told to end by its number.
  "/close": (req, res, url) => {
    const pid = Number(url.searchParams.get("pid"));
    json(res, process.kill(alone.has(pid) ? pid : -pid, "SIGTERM"));
  },
  "/alone": (req, res) => {
    const child = spawn("sh", ["-c", "(trap '' TERM; while :; do sleep 1; done) & wait"], { stdio: "ignore" });
    child.once("spawn", () => json(res, (alone.add(child.pid), child.pid)));
  },
  "/fork": (req, res) => {
    const code = "import('node:process').then(({ env }) => { console.log(JSON.stringify(env)); process.exit(0); })";
    const child = spawn(process.execPath, [...process.execArgv, "-e", code], { stdio: ["ignore", "pipe", "inherit"] });
    let out = "";
    child.stdout.on("data", (c) => (out += c));
    child.on("close", (code) => json(res, { code, env: JSON.parse(out || "{}") }));
  },
};

const alone = new Set();
let aborted = 0;
const server = http.createServer((req, res) => {
  const url = new URL(req.url, "http://x");
  const path = url.pathname.replace(/^\/api/, "");
  if (routes[path]) return routes[path](req, res, url);
  let body = "";
  req.on("data", (c) => (body += c));
  req.on("end", () => json(res, { service: "backend", method: req.method, url: req.url, headers: req.headers, body }));
});
server.on("upgrade", (req, socket) => {
  if (req.url.includes("refuse")) return socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  const asked = `${req.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const key = createHash("sha1").update(asked).digest("base64");
  const head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"];
  socket.write(`${head.join("\r\n")}\r\nSec-WebSocket-Accept: ${key}\r\n\r\n`);
  // Echoes one masked text frame after the other, unmasked; frames of the test are shorter than 126 bytes.
  socket.on("data", (frame) => {
    if ((frame[0] & 15) !== 1) return socket.end(Buffer.from([0x88, 0]));
    const length = frame[1] & 127;
    const data = Buffer.from(frame.subarray(6, 6 + length)).map((b, i) => b ^ frame[2 + (i % 4)]);
    socket.write(Buffer.concat([Buffer.from([0x81, length]), data]));
  });
});
server.listen(Number(process.env.METAMCP_BACKEND_PORT), "127.0.0.1");
"""

FRONTEND = r"""
const http = require("node:http");
console.log("frontend says hello");
http.createServer((req, res) => {
  if (req.url === "/die") process.exit(4);
  res.setHeader("content-type", "application/json");
  res.end(JSON.stringify({ service: "frontend", url: req.url, headers: req.headers, env: process.env }));
}).listen(Number(process.env.PORT), process.env.HOSTNAME);
"""

MIGRATE = r"""
import { randomUUID } from "node:crypto";
const id = randomUUID();
const patience = setTimeout(() => {}, 20000);
process.on("message", (m) => {
  if (m?.id !== id) return;
  clearTimeout(patience);
  console.log(m.value ? "got a password" : m.error);
  console.log(JSON.stringify({ migrate: { ok: true, applied: ["0000_first", "0001_second"], seconds: 0.01 } }));
});
process.send({ id, want: "database-password" });
"""


def migrate_failing(code: str, *, heals: bool) -> str:
    """A migrator whose result is a failure."""
    result = {"ok": False, "code": code, "message": "It failed.", "detail": "evidence", "heals": heals}
    return f"console.log(JSON.stringify({json.dumps({'migrate': result})})); process.exitCode = 1;"


def migrated() -> str:
    """The statement that tells of migrations without anything to apply."""
    result = {"migrate": {"ok": True, "applied": [], "seconds": 0.01}}
    return f"console.log(JSON.stringify({json.dumps(result)}));"


def migrate_failing_once(code: str) -> str:
    """A migrator that fails when it is started first; trying again helps."""
    again = "const fs = await import('node:fs'); const again = fs.existsSync('tried');"
    failing = migrate_failing(code, heals=True)
    return f"{again} if (again) {{ {migrated()} }} else {{ fs.writeFileSync('tried', ''); {failing} }}"


MIGRATE_WITHOUT_RESULT = "console.error('boom'); process.exit(7);"
BACKEND_DYING = "console.log('I die'); process.exit(5);"
