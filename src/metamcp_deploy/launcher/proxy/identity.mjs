// Who sends a request, according to the platform's proxy. The proxy removes these headers from what clients send.

/** The sender's e-mail address in lower case, "" without one. */
export function emailOf(request) {
  const given = request.headers["x-forwarded-email"];
  return typeof given === "string" ? given.trim().toLowerCase() : "";
}

/** Returns the function that checks whether a request comes from one of `app.operators`. */
export function operators(env) {
  const known = new Set((env.METAMCP_OPERATORS ?? "").split(",").map((address) => address.trim().toLowerCase()));
  known.delete("");
  return (request) => known.has(emailOf(request));
}
