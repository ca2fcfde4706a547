// Who asks, as the platform's proxy says it. A client cannot say it: the proxy strips what clients send under these names.

/** The caller's address in lower case, "" when there is none. */
export function emailOf(request) {
  const given = request.headers["x-forwarded-email"];
  return typeof given === "string" ? given.trim().toLowerCase() : "";
}

/** The function that tells whether a request comes from one of `app.operators`. */
export function operators(env) {
  const known = new Set((env.METAMCP_OPERATORS ?? "").split(",").map((address) => address.trim().toLowerCase()));
  known.delete("");
  return (request) => known.has(emailOf(request));
}
