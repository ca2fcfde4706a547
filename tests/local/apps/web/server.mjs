// A small app for the tests of the proxy: each path shows one thing.
import crypto from "node:crypto";
import http from "node:http";

let aborted = 0;

const paths = {
  "/env": (request, response) => response.end(JSON.stringify(process.env)),
  "/headers": (request, response) => response.end(JSON.stringify(request.headers)),
  "/raw": (request, response) => response.end(request.url),
  "/aborted": (request, response) => response.end(String(aborted)),
  "/exit": (request, response) => {
    response.end("bye");
    setTimeout(() => process.exit(7), 50);
  },
  "/events": (request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    let sent = 0;
    const timer = setInterval(() => {
      response.write(`data: ${sent++}\n\n`);
      if (sent === 3) {
        clearInterval(timer);
        response.end();
      }
    }, 150);
  },
  "/silence": (request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: first\n\n");
    response.on("close", () => aborted++);
  },
  "/digest": (request, response) => {
    const hash = crypto.createHash("sha256");
    let size = 0;
    request.on("aborted", () => aborted++);
    request.on("data", (chunk) => {
      hash.update(chunk);
      size += chunk.length;
    });
    request.on("end", () => response.end(JSON.stringify({ size, digest: hash.digest("hex") })));
  },
  "/big": (request, response, url) => {
    const size = Number(url.searchParams.get("size"));
    response.setHeader("content-length", size);
    response.end(Buffer.alloc(size, "x"));
  },
  "/redirect": (request, response) => {
    response.writeHead(303, { location: "/elsewhere", "set-cookie": ["a=1", "b=2"] });
    response.end();
  },
  "/cut": (request, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("part");
    setTimeout(() => request.socket.destroy(), 50);
  },
};

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://x");
  (paths[url.pathname] ?? (() => response.end("ok")))(request, response, url);
});

// Says who is there, in one frame, and ends when the other side does.
server.on("upgrade", (request, socket) => {
  const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const accept = crypto.createHash("sha1").update(key).digest("base64");
  socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
  socket.write(`Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
  const text = Buffer.from(request.headers["x-forwarded-email"] ?? "nobody");
  socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
  socket.on("data", (frame) => {
    if ((frame[0] & 15) === 8) socket.end();
  });
});

console.log("hello from the app");
server.listen(Number(process.env.DATABRICKS_APP_PORT), "127.0.0.1");
