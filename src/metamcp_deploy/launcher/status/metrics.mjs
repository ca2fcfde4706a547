// The same facts as Prometheus text. Source: prometheus.io, Exposition formats, version 0.0.4.

import { BOUNDS, STATUSES } from "./counters.mjs";

export const TYPE = "text/plain; version=0.0.4; charset=utf-8";

/**
 * @param facts of the status document
 * @param classes of the Counters
 */
export function metrics(facts, classes) {
  const { services, sessions, processes, credential, token, memory, database_pool: pool } = facts;
  const byService = (value) => Object.entries(services).map(([service, one]) => [{ service }, value(one)]);
  const byServer = (value) => processes.by_server.map((one) => [{ command: one.command, package: one.package ?? "" }, value(one)]);
  return [
    family("metamcp_up", "gauge", "Whether MetaMCP serves.", [[{}, facts.status === "up" ? 1 : 0]]),
    family("metamcp_launcher_start_time_seconds", "gauge", "When the launcher started.", [[{}, Date.parse(facts.started) / 1000]]),
    family("metamcp_start_attempts_total", "counter", "Attempts to start.", [[{}, facts.attempts]]),
    family("metamcp_requests_total", "counter", "Requests by class of route and of status.", requests(classes)),
    histogram("metamcp_request_duration_seconds", "Time until a response's end, streams aside.", classes),
    family("metamcp_service_up", "gauge", "Whether a service answers.", byService(({ up }) => (up ? 1 : 0))),
    family("metamcp_service_restarts_total", "counter", "Starts of a service after the first.", byService(({ restarts }) => restarts)),
    family("metamcp_service_memory_bytes", "gauge", "Memory of a service's process.", byService((one) => one.memory_bytes)),
    family("metamcp_sessions_open", "gauge", "Open MCP sessions.", sessionCounts(sessions)),
    family("metamcp_session_oldest_idle_seconds", "gauge", "Since when the longest idle session is.", [[{}, sessions.oldest_idle_seconds ?? 0]]),
    family("metamcp_children", "gauge", "Processes that descend from the backend.", byServer(({ count }) => count)),
    family("metamcp_children_memory_bytes", "gauge", "Their memory.", byServer((one) => one.memory_bytes)),
    family("metamcp_children_oldest_seconds", "gauge", "Age of the oldest.", byServer((one) => one.oldest_seconds)),
    family("metamcp_credential_age_seconds", "gauge", "Age of the database credential.", one(credential.age_seconds)),
    family("metamcp_credential_expires_in_seconds", "gauge", "How long it is valid yet.", one(credential.expires_in_seconds)),
    family("metamcp_credential_renewals_total", "counter", "Credentials after the first.", [[{}, credential.renewals]]),
    family("metamcp_credential_failures_total", "counter", "Credentials that were not given.", [[{}, credential.failures]]),
    family("metamcp_token_age_seconds", "gauge", "Age of the workspace's OAuth token.", one(token.age_seconds)),
    family("metamcp_token_life_seconds", "gauge", "How long it is valid from its start.", one(token.life_seconds)),
    family("metamcp_memory_used_bytes", "gauge", "Memory of all processes of the app.", [[{}, memory.used_bytes]]),
    family("metamcp_memory_limit_bytes", "gauge", "Memory of the container.", [[{}, memory.limit_bytes]]),
    family("metamcp_memory_scarce", "gauge", "Whether memory is scarce.", [[{}, memory.scarce ? 1 : 0]]),
    family("metamcp_database_connections", "gauge", "Connections of the backend to the database, and requests that wait for one.", pool ? poolCounts(pool) : []),
    family("metamcp_database_connections_most", "gauge", "How many it may have.", pool ? [[{}, pool.most]] : []),
  ].join("");
}

function one(value) {
  return value === null ? [] : [[{}, value]];
}

function requests(classes) {
  return classes.flatMap(([route, { statuses }]) => STATUSES.flatMap((status, i) => (statuses[i] ? [[{ route, status }, statuses[i]]] : [])));
}

function sessionCounts({ open, by_endpoint: several }) {
  if (!open) return [[{ route: "", endpoint: "" }, 0]];
  return several.map(({ route, endpoint, open: count }) => [{ route: route ?? "", endpoint }, count]);
}

function poolCounts({ total, idle, waiting }) {
  return Object.entries({ busy: total - idle, idle, waiting }).map(([state, count]) => [{ state }, count]);
}

/** Nothing for a family without a sample. */
function family(name, type, help, samples) {
  return samples.length ? head(name, type, help) + samples.map(([labels, value]) => line(name, labels, value)).join("") : "";
}

function histogram(name, help, classes) {
  const timed = classes.filter(([, { times }]) => times.some(Boolean));
  const ofClass = ([route, { times, seconds }]) => {
    let sum = 0;
    const buckets = [...BOUNDS, "+Inf"].map((le, i) => line(`${name}_bucket`, { route, le }, (sum += times[i])));
    return `${buckets.join("")}${line(`${name}_sum`, { route }, seconds)}${line(`${name}_count`, { route }, sum)}`;
  };
  return timed.length ? head(name, "histogram", help) + timed.map(ofClass).join("") : "";
}

function head(name, type, help) {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

function line(name, labels, value) {
  const shown = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
  return `${name}${shown.length ? `{${shown.join(",")}}` : ""} ${value}\n`;
}

function escaped(text) {
  return String(text).replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}
