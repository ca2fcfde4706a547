// The secret of this start: each service answers only requests that show it. The services get it over IPC.

import { randomBytes } from "node:crypto";

import { conceal } from "../log.mjs";
import { START_HEADER } from "../preload/guard.mjs";
import { isSame, removeHeaders } from "../request-headers.mjs";

export const START_SECRET = conceal(randomBytes(32).toString("base64url"));

/** The header of a request to a service. */
export const startHeader = { [START_HEADER]: START_SECRET };

/** Whether a request shows the secret; the header is removed from it. */
export function isFromService(request) {
  const given = request.headers[START_HEADER];
  if (given === undefined) return false;
  removeHeaders(request, (name) => name === START_HEADER);
  return isSame(given, START_SECRET);
}
