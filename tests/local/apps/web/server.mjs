import http from "node:http";
import crypto from "node:crypto";
console.log("hello from the app");
const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://x");
  if (url.pathname === "/env") return response.end(JSON.stringify(process.env));
  if (url.pathname === "/headers") return response.end(JSON.stringify(request.headers));
  if (url.pathname === "/exit") { response.end("bye"); setTimeout(() => process.exit(7), 50); return; }
  if (url.pathname === "/events") {
    response.writeHead(200, {"content-type": "text/event-stream"});
    let n = 0;
    const timer = setInterval(() => { response.write(`data: ${n++}\n\n`); if (n === 3) { clearInterval(timer); response.end(); } }, 150);
    return;
  }
  if (url.pathname === "/digest") {
    const hash = crypto.createHash("sha256"); let size = 0;
    request.on("data", (chunk) => { hash.update(chunk); size += chunk.length; });
    request.on("end", () => response.end(JSON.stringify({size, digest: hash.digest("hex")})));
    return;
  }
  if (url.pathname === "/big") {
    response.setHeader("content-length", url.searchParams.get("size"));
 response.end(Buffer.alloc(Number(url.searchParams.get("size")), "x")); return; }
  if (url.pathname === "/redirect") { response.writeHead(303, {location: "/elsewhere", "set-cookie": ["a=1", "b=2"]}); return response.end(); }
  if (url.pathname === "/cut") { response.writeHead(200, {"content-length": "100"}); response.write("part"); setTimeout(() => request.socket.destroy(), 50); return; }
  if (url.pathname === "/raw") return response.end(request.url);
  response.end("ok");
});
server.on("upgrade", (request, socket) => {
  const accept = crypto.createHash("sha1").update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  const text = Buffer.from(request.headers["x-forwarded-email"] ?? "nobody");
  socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
  socket.on("data", (frame) => { if ((frame[0] & 15) === 8) socket.end(); });
});
server.listen(Number(process.env.DATABRICKS_APP_PORT), "127.0.0.1");
