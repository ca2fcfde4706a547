// Puts the parts of the status together: who may read it and act, and what the addresses answer.

import { workspaceHost } from "../environment.mjs";
import { redact, say } from "../log.mjs";
import { PAGE, PAGE_HEADERS } from "../page/operators-page.mjs";
import { emailOf } from "../proxy/identity.mjs";
import { NAMES } from "../services/services.mjs";
import { Managers } from "./managers.mjs";
import { metrics, TYPE } from "./metrics.mjs";
import { ownPages } from "./own-pages.mjs";
import { readers } from "./readers.mjs";
import { StatusDocument } from "./status-document.mjs";

/**
 * Returns the function of a request that answers the launcher's own addresses, as own-pages.mjs makes it.
 *
 * @param env the launcher's
 * @param isOperator of a request
 * @param look as StatusDocument takes it
 */
export function statusPages(env, isOperator, look) {
  const app = env.DATABRICKS_APP_NAME ?? "";
  const managers = new Managers({ host: workspaceHost(env), id: env.DATABRICKS_WORKSPACE_ID, app });
  const document = new StatusDocument(look);
  return ownPages(readers(isOperator, managers), {
    "/": { type: "text/html; charset=utf-8", headers: PAGE_HEADERS, text: () => PAGE },
    "/status": { type: "application/json; charset=utf-8", text: () => document.text },
    ...Object.fromEntries(NAMES.map((name) => [`/restart/${name}`, { act: (request) => restart(look().services, name, request) }])),
    "/metrics": { type: TYPE, text: () => redact(metrics(document.facts, look().counters.classes)) },
  });
}

function restart(services, name, request) {
  if (!services.restart(name)) {
    return { away: { http: 409, status: "refused", step: name, code: "not_running", message: `The ${name} has no process at the moment.` } };
  }
  say(`Ending the ${name}, as ${emailOf(request) || "somebody who manages the app"} asked: it starts again`);
  return { http: 202, body: { service: name, restarting: true } };
}
