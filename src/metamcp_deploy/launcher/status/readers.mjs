// Who may read the status: the operators, and who proves by a token of the workspace that they manage the app. Who may act:
// only the latter. A page of another site makes a browser send its cookies, but no header of our own without being allowed to.

import { emailOf } from "../proxy/identity.mjs";
import { TOKEN_HEADER } from "../request-headers.mjs";

const TOKEN = /^[\x21-\x2b\x2d-\x7e]{8,8192}$/; // several headers of the name would be joined by commas

/**
 * Returns {mayRead, mayAct}, the functions that judge a request: their promise is null where it may, else {away}'s value.
 *
 * @param isOperator of a request
 * @param managers {check(token, caller)}, as managers.mjs has it
 */
export function readers(isOperator, managers) {
  const byToken = (request) => {
    const token = request.headers[TOKEN_HEADER];
    if (!TOKEN.test(token)) return refused(401, "token_refused", `${TOKEN_HEADER} holds no token.`);
    return managers.check(token, emailOf(request) || request.socket.remoteAddress);
  };
  const hasToken = (request) => request.headers[TOKEN_HEADER] !== undefined;
  const mayRead = async (request) => {
    if (isOperator(request)) return null;
    if (hasToken(request)) return byToken(request);
    const email = emailOf(request);
    if (email) return refused(403, "operators_only", `This is for operators, and ${email} is none of them (setting app.operators).`);
    const message = `This is for operators: send a Databricks OAuth token of somebody who manages the app as ${TOKEN_HEADER}.`;
    return refused(401, "credentials_missing", message);
  };
  const mayAct = async (request) => {
    if (hasToken(request)) return byToken(request);
    const message = `This takes a Databricks OAuth token of somebody who has CAN_MANAGE on the app, as ${TOKEN_HEADER}.`;
    return refused(401, "credentials_missing", message);
  };
  return { mayRead, mayAct };
}

/** `wait` is after how many seconds another try makes sense. */
export function refused(http, code, message, wait = 0) {
  const headers = { ...(http === 401 && { "www-authenticate": "X-Metamcp-Deploy-Token" }), ...(wait && { "retry-after": String(wait) }) };
  return { http, status: "refused", step: "access", code, message, headers };
}
