// Comment lines in silent event streams: proxies in between, and the client, see that the stream is alive, and a client that
// has vanished is noticed.
// Source: HTML, 9.2.6: a line that starts with a colon is ignored; lines end with LF, CRLF or CR.

const SILENT_MS = 20_000;
const LF = 10;

/**
 * Pipes an event stream to the client, with a comment whenever nothing was said for `silent` ms. It comes only where a line
 * has surely ended (after a CR an LF may follow), and never while the client does not read.
 */
export function pipeWithComments(source, response, silent = SILENT_MS) {
  let last = LF;
  let timer = null;
  const stop = () => clearTimeout(timer);
  const wait = () => {
    stop();
    timer = setTimeout(comment, silent).unref();
  };
  const comment = () => {
    if (last === LF && response.writableLength === 0) response.write(":\n");
    wait();
  };
  wait();
  source.on("data", (chunk) => {
    last = chunk.at(-1) ?? last;
    wait();
  });
  source.once("end", stop);
  response.once("close", stop);
  source.pipe(response);
}

/** Whether a response is an event stream that text can be added to. */
export function takesComments({ statusCode, headers }) {
  const [type] = (headers["content-type"] ?? "").toLowerCase().split(";");
  const bare = headers["content-encoding"] === undefined && headers["content-length"] === undefined;
  return statusCode === 200 && type.trim() === "text/event-stream" && bare;
}
