// Who may read the status: the operators, and who proves by a token of the workspace that they manage the app.

import { emailOf } from "../proxy/identity.mjs";
import { TOKEN_HEADER } from "../request-headers.mjs";

const TOKEN = /^[\x21-\x2b\x2d-\x7e]{8,8192}$/; // several headers of the name would be joined by commas

/**
 * Returns the function that judges a request: its promise is null for a reader, else {away}'s value.
 *
 * @param isOperator of a request
 * @param managers {check(token, caller)}, as managers.mjs has it
 */
export function readers(isOperator, managers) {
  return async (request) => {
    if (isOperator(request)) return null;
    const email = emailOf(request);
    const token = request.headers[TOKEN_HEADER];
    if (token !== undefined && !TOKEN.test(token)) return refused(401, "token_refused", `${TOKEN_HEADER} holds no token.`);
    if (token !== undefined) return managers.check(token, email || request.socket.remoteAddress);
    if (email) return refused(403, "operators_only", `This is for operators, and ${email} is none of them (setting app.operators).`);
    const message = `This is for operators: send a Databricks OAuth token of somebody who manages the app as ${TOKEN_HEADER}.`;
    return refused(401, "credentials_missing", message);
  };
}

/** `wait` is after how many seconds another try makes sense. */
export function refused(http, code, message, wait = 0) {
  const headers = { ...(http === 401 && { "www-authenticate": "X-Metamcp-Deploy-Token" }), ...(wait && { "retry-after": String(wait) }) };
  return { http, status: "refused", step: "access", code, message, headers };
}
