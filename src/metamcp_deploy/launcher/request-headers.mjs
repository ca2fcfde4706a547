// Headers that prove who sends a request: compared, and removed before the request goes on.

import { createHash, timingSafeEqual } from "node:crypto";

/** The header for a caller's token of the workspace, which the launcher reads and never forwards. */
export const TOKEN_HEADER = "x-metamcp-deploy-token";

/** Whether two texts are equal, in a time that does not depend on where they differ. */
export function isSame(one, other) {
  const [first, second] = [one, other].map((text) => createHash("sha256").update(String(text)).digest());
  return timingSafeEqual(first, second);
}

/** Removes the headers whose name, in lower case, is unwanted. */
export function removeHeaders(request, unwanted) {
  for (const name of Object.keys(request.headers)) if (unwanted(name)) delete request.headers[name];
  request.rawHeaders = request.rawHeaders.filter((_, i, raw) => !unwanted(raw[i - (i % 2)].toLowerCase()));
}
