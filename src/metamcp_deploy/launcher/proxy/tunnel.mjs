// A request to upgrade: what the service answers goes out as bytes, and then both sockets are one.

import { answerHeaders } from "./headers.mjs";

/**
 * Ties a client's `socket`, which has said `head` since, to `onward`, the same request to a service at `port`. `refuse`
 * answers when the service does not.
 */
export function tunnel(onward, { socket, head, port, refuse }) {
  let answered = false; // the socket's own count of bytes holds those of earlier requests, too
  onward.on("upgrade", (answer, inner, innerHead) => {
    answered = true;
    socket.write(rawHead(answer, port, ["Connection", "Upgrade", "Upgrade", "websocket"]));
    if (innerHead.length) socket.write(innerHead);
    if (head.length) inner.write(head);
    splice(socket, inner);
  });
  onward.on("response", (answer) => {
    answered = true;
    // Refused: its answer goes out as it is, and the connection ends, so that nothing can follow past the router.
    socket.write(rawHead(answer, port, ["Connection", "close"]));
    answer.pipe(socket);
    answer.on("error", () => socket.destroy());
  });
  onward.on("error", () => (answered ? socket.destroy() : refuse()));
}

/** Each end's bytes go to the other, and so does its end. */
function splice(one, other) {
  for (const [from, to] of [[one, other], [other, one]]) {
    from.setTimeout(0);
    from.setNoDelay(true);
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
    from.pipe(to);
  }
}

/** Status line and headers of a service's answer, whose port is `port`, and `extra` (a flat list of names and values). */
function rawHead(answer, port, extra) {
  const flat = [...answerHeaders(answer, port), ...extra];
  let text = `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\n`;
  for (let i = 0; i < flat.length; i += 2) text += `${flat[i]}: ${flat[i + 1]}\r\n`;
  return `${text}\r\n`;
}
