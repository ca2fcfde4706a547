// WebSocket upgrades: the service's response is sent as bytes, then both sockets are joined.

import { answerHeaders } from "./headers.mjs";

/**
 * Joins a client's `socket`, which has already sent `head`, with `onward`, the same request to a service at `port`.
 * `refuse` responds when the service does not.
 */
export function tunnel(onward, { socket, head, port, refuse }) {
  let answered = false; // bytesWritten of the socket counts earlier requests, too
  onward.on("upgrade", (answer, inner, innerHead) => {
    answered = true;
    socket.write(rawHead(answer, port, ["Connection", "Upgrade", "Upgrade", "websocket"]));
    if (innerHead.length) socket.write(innerHead);
    if (head.length) inner.write(head);
    splice(socket, inner);
  });
  onward.on("response", (answer) => {
    answered = true;
    // Refused: the response is forwarded and the connection closed, so that no further request bypasses the router.
    socket.write(rawHead(answer, port, ["Connection", "close"]));
    answer.pipe(socket);
    answer.on("error", () => socket.destroy());
  });
  onward.on("error", () => (answered ? socket.destroy() : refuse()));
}

/** Forwards bytes and the end of each socket to the other. */
function splice(one, other) {
  for (const [from, to] of [[one, other], [other, one]]) {
    from.setTimeout(0);
    from.setNoDelay(true);
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
    from.pipe(to);
  }
}

/** Status line and headers of the response of the service at `port`, and `extra` (a flat list of names and values). */
function rawHead(answer, port, extra) {
  const flat = [...answerHeaders(answer, port), ...extra];
  let text = `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\n`;
  for (let i = 0; i < flat.length; i += 2) text += `${flat[i]}: ${flat[i + 1]}\r\n`;
  return `${text}\r\n`;
}
