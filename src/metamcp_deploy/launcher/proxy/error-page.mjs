// The launcher's page for people: self-contained, light and dark, readable without styles and without a script.

import { hashed, STYLE } from "../page/style.mjs";

const TITLES = {
  starting: "MetaMCP is starting",
  stopping: "MetaMCP is stopping",
  failed: "MetaMCP is not available",
  refused: "MetaMCP did not accept this request",
  asks: "Access to MetaMCP",
};
const MORE = '\n<p><a href="/.metamcp-deploy/">Everything that the launcher knows</a></p>';

/** Its security policy: nothing but its own style. */
export const PAGE_POLICY = `default-src 'none'; style-src ${hashed(STYLE)}; frame-ancestors 'none'; base-uri 'none'`;

/**
 * @param facts {status, step, code, message, last_failure?, request_id, contact?}
 * @param report for operators, as failure-report.mjs gives it, or null
 * @param steps of the start, as start-steps.mjs shows them; none when it is over
 * @param refresh seconds after which the page reloads; 0 never
 * @param form {action, fields: [name, value] pairs, button} of a question, or undefined
 */
export function render(facts, { report, steps = [], refresh, form }) {
  const title = TITLES[facts.status] ?? TITLES.failed;
  const { step, code } = facts.last_failure ?? {};
  const last = code && `${code}, at the step ${step}`;
  const rows = [["Step", facts.step], ["Code", facts.code], ["Last failure", last], ["Request", facts.request_id], ["Contact", facts.contact]];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">${refresh ? `\n<meta http-equiv="refresh" content="${refresh}">` : ""}
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${title}</h1>
<p role="status">${escaped(facts.message)}</p>
${form ? question(form) : ""}${steps.length ? progress(steps) : ""}${list(rows)}
${refresh ? `<p>This page asks again every ${refresh} seconds.</p>\n` : ""}${report ? details(report) : ""}</main>
</body>
</html>
`;
}

function question({ action, fields, button }) {
  const inputs = fields.map(([name, value]) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`);
  return `<form action="${escaped(action)}">${inputs.join("")}<button>${escaped(button)}</button></form>\n`;
}

function progress(steps) {
  const item = ({ step, state, seconds }) => `<li class="${escaped(state)}">${escaped(step)}<span>${seconds.toFixed(1)} s</span></li>`;
  return `<ol class="steps">\n${steps.map(item).join("\n")}\n</ol>\n`;
}

function details({ error, cause, fix, environment, log }) {
  const sources = Object.entries(log).filter(([, lines]) => lines.length);
  return [
    section("For operators", list([["Error", error], ["Likely cause", cause], ["What ends it", fix]]) + MORE),
    ...sources.map(([name, lines]) => section(`Last lines of ${name}`, block(lines, `Last lines of ${name}`))),
    section("Environment", block(environment, "Environment")),
  ].join("");
}

function section(title, content) {
  return `<section>\n<h2>${escaped(title)}</h2>\n${content}\n</section>\n`;
}

function list(rows) {
  const shown = rows.filter(([, value]) => value);
  return `<dl>\n${shown.map(([name, value]) => `<dt>${name}</dt><dd>${escaped(value)}</dd>`).join("\n")}\n</dl>`;
}

function block(lines, label) {
  return `<pre tabindex="0" aria-label="${escaped(label)}">${escaped(lines.join("\n"))}</pre>`; // focusable, so that keys scroll it
}

function escaped(text) {
  const names = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return String(text).replace(/[&<>"']/g, (character) => names[character]);
}
