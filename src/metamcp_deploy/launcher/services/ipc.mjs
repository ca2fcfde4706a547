// Answers what a service asks over its IPC channel: {id, want, name?} → {id, value | error}.

/**
 * `answers` maps a want to a function of its name. The channel's other messages go to `onEvent` ({event, ...}).
 * A failed answer carries the message only, never evidence.
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
    tell(child, reply);
  });
}

/** Sends a message to a service; one that is gone is no error. */
export function tell(child, message) {
  if (child.connected) child.send(message, () => {});
}
