// Answers a service's questions over its IPC channel: {id, want, name?} → {id, value | error}.

/**
 * `answers` maps a `want` to a function of `name`. Messages {event, ...} go to `onEvent`. An error answer contains the
 * message only, no detail.
 */
export function serve(child, answers, onEvent) {
  child.on("message", async (message) => {
    if (message === null || typeof message !== "object") return;
    if (typeof message.event === "string") return onEvent(message);
    if (message.id === undefined) return;
    const answer = Object.hasOwn(answers, message.want) ? answers[message.want] : null;
    let reply;
    try {
      if (!answer) throw new Error(`the launcher does not hand out ${JSON.stringify(message.want)}`);
      reply = { id: message.id, value: await answer(message.name) };
    } catch (error) {
      reply = { id: message.id, error: error.message };
    }
    sendMessage(child, reply);
  });
}

/** Sends a message to a service, if it still runs. */
export function sendMessage(child, message) {
  if (child.connected) child.send(message, () => {});
}
