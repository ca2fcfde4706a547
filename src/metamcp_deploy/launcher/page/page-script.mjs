// The script of the page for operators. It runs in the browser: the page holds the text of this one function, which therefore
// uses nothing from outside of itself. What the status says becomes text, never markup.

/* global document, navigator */

export function pageScript() {
  const EVERY_MS = 5000;
  const STARTING_MS = 1000;
  const shown = {}; // id of a part → what it shows, so that an unchanged part keeps selection and scroll position
  const part = (id) => document.getElementById(id);

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes ?? {})) made.setAttribute(key, value);
    made.append(...children.filter((child) => child !== null && child !== undefined).map((child) => (child.nodeType ? child : String(child))));
    return made;
  }

  function drawing(name, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  /** Fills a part again if its facts have changed. */
  function show(id, facts, make) {
    const key = JSON.stringify(facts);
    if (shown[id] === key) return;
    shown[id] = key;
    part(id).replaceChildren(...[make(facts)].flat().filter(Boolean));
  }

  function bytes(number) {
    return number >= 2 ** 30 ? `${(number / 2 ** 30).toFixed(1)} GB` : `${Math.round(number / 2 ** 20)} MB`;
  }

  function duration(seconds) {
    if (seconds === null || seconds === undefined) return "–";
    if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 120) return `${Math.round(seconds)} s`;
    if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
    return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
  }

  function clock(time) {
    return time ? new Date(time).toLocaleTimeString() : "–";
  }

  function table(caption, heads, rows) {
    const cells = (row) => element("tr", null, ...row.map((cell) => element("td", null, cell)));
    return element(
      "table",
      { "aria-label": caption },
      element("thead", null, element("tr", null, ...heads.map((head) => element("th", { scope: "col" }, head)))),
      element("tbody", null, ...rows.map(cells)),
    );
  }

  function copyButton(text) {
    const button = element("button", { type: "button" }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        document.getSelection().selectAllChildren(button.previousElementSibling); // to be copied by keys
        button.textContent = "Selected";
      }
    });
    return button;
  }

  /** The commands in a fix can be pasted: each ends its sentence. */
  function fixOf(fix) {
    const commands = fix.match(/metamcp-deploy [^;\n]+/g) ?? [fix];
    return commands.map((command) => element("div", { class: "fix" }, element("code", null, command.trim()), copyButton(command.trim())));
  }

  function failureOf({ error, cause, fix, failed_step: step, failed_code: code }) {
    if (!error) return null;
    const rows = [["Failed", `${code}, at the step ${step}`], ["Error", error], ["Likely cause", cause], ["What ends it", fix]];
    const list = rows.filter(([, text]) => text).flatMap(([name, text]) => [element("dt", null, name), element("dd", null, text)]);
    return element("div", { class: "card" }, element("dl", null, ...list), ...(fix ? fixOf(fix) : []));
  }

  function plot(caption, most, children) {
    const figure = element("figure", null, element("figcaption", null, caption));
    const box = { viewBox: `0 0 60 ${most || 1}`, preserveAspectRatio: "none", role: "img", "aria-label": caption };
    figure.append(drawing("svg", box, ...children));
    return figure;
  }

  function bars(numbers, most, kind) {
    return numbers.flatMap((number, i) => (number ? [drawing("rect", { x: i, width: 0.8, y: most - number, height: number, class: kind })] : []));
  }

  /** A line that is broken where there was no request; a lone minute is a short stroke. */
  function lineOf(numbers, most, kind) {
    let d = "";
    numbers.forEach((number, i) => {
      if (number !== null) d += `${numbers[i - 1] === null || i === 0 ? "M" : "L"}${i} ${most - number}h.8`;
    });
    return drawing("path", { d, class: kind });
  }

  function plotsOf({ requests, errors, median_seconds: median, slow_seconds: slow }) {
    const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);
    const [most, mostErrors, slowest] = [Math.max(...requests), Math.max(...errors), Math.max(0, ...slow)];
    const last = slow.findLast((one) => one !== null);
    return [
      plot(`Requests: ${sum(requests)}, at most ${most} a minute`, most, bars(requests, most, "requests")),
      plot(`Errors: ${sum(errors)}, at most ${mostErrors} a minute`, mostErrors, bars(errors, mostErrors, "errors")),
      plot(
        slowest ? `Time: 95 % within ${duration(last)} now, ${duration(slowest)} at worst` : "Time: no request yet",
        slowest,
        [lineOf(median, slowest, "median"), lineOf(slow, slowest, "slow")],
      ),
    ];
  }

  function servicesOf(services) {
    const rows = Object.entries(services).map(([name, { up, since, restarts, memory_bytes: memory, deaths }]) => {
      const death = deaths.at(-1);
      const last = death ? `${clock(death.time)}: ${death.message}` : "–";
      return [name, up ? `up since ${clock(since)}` : "away", restarts, bytes(memory), last];
    });
    return table("Services", ["Service", "State", "Restarts", "Memory", "Last end"], rows);
  }

  function startOf({ steps, attempts }) {
    const item = ({ step, state, seconds }) => element("li", { class: state }, step, element("span", null, duration(seconds)));
    const list = element("ol", { class: "steps" }, ...steps.map(item));
    return [list, attempts > 1 ? element("p", { class: "note" }, `Attempt ${attempts}`) : null];
  }

  function bar(name, value, most, text, high) {
    const attributes = { min: 0, max: most || 1, value, "aria-label": name };
    if (high) Object.assign(attributes, { low: most * 0.6, high: most * high, optimum: 0 });
    return [element("dt", null, name), element("dd", null, element("meter", attributes), ` ${text}`)];
  }

  function limitsOf({ memory, credential, token, database_pool: pool }) {
    const { limit_bytes: limit, used_bytes: used, scarce } = memory;
    const parts = [bar("Memory", used, limit, `${bytes(used)} of ${bytes(limit)}${scarce ? ", scarce" : ""}`, 0.7)];
    if (pool) {
      const text = `${pool.total - pool.idle} of ${pool.most} busy, ${pool.idle} idle${pool.waiting ? `, ${pool.waiting} requests wait for one` : ""}`;
      parts.push(bar("Database connections", pool.total - pool.idle, pool.most, text, 0.9));
    }
    const { age_seconds: age, expires_in_seconds: left } = credential;
    if (age !== null) {
      const text = `${duration(age)} old, ${left > 0 ? `valid for ${duration(left)}` : "ended"}; renewed ${credential.renewals} times`;
      parts.push(bar("Database credential", age, age + Math.max(0, left), text, 0.8));
    }
    if (age === null && credential.kind) {
      const text = credential.last_error ? "none" : "a password that is not renewed";
      parts.push([element("dt", null, "Database credential"), element("dd", null, text)]);
    }
    if (token.age_seconds !== null) {
      const text = `${duration(token.age_seconds)} of ${duration(token.life_seconds)}`;
      parts.push(bar("Workspace token", token.age_seconds, token.life_seconds, text, 0.97));
    }
    for (const [name, { last_error: error }] of Object.entries({ "Database credential": credential, "Workspace token": token })) {
      if (error) parts.push([element("dt", null, `${name}: last error`), element("dd", null, `${clock(error.time)}: ${error.message}`)]);
    }
    return element("dl", null, ...parts.flat());
  }

  function sessionsOf({ open, by_endpoint: several, oldest_idle_seconds: idle }) {
    if (!open) return element("p", { class: "note" }, "No session is open.");
    const rows = several.map(({ endpoint, route, open: count }) => [endpoint, route ?? "", count]);
    return [table("Sessions", ["Endpoint", "Route", "Open"], rows), element("p", { class: "note" }, `${open} open; longest idle for ${duration(idle)}`)];
  }

  function processesOf({ by_server: servers }) {
    if (!servers.length) return element("p", { class: "note" }, "No process of an MCP server runs.");
    const row = (one) => [one.package ? `${one.command} ${one.package}` : one.command, one.servers, one.count, bytes(one.memory_bytes), duration(one.oldest_seconds)];
    return table("MCP servers", ["Program", "Started", "Processes", "Memory", "Oldest"], servers.map(row));
  }

  function requestsOf(requests) {
    const kinds = ["2xx", "3xx", "4xx", "5xx", "closed"];
    const rows = Object.entries(requests).map(([route, counts]) => [route, ...kinds.map((kind) => counts[kind] ?? 0)]);
    return rows.length ? table("Requests", ["Route", ...kinds], rows) : element("p", { class: "note" }, "None yet.");
  }

  function logOf(lines) {
    return lines.map(({ source, time, line, known }) =>
      element("div", null, element("b", null, `${clock(time)} ${source} `), line, known ? element("p", null, `${known.cause} ${known.fix}`) : null),
    );
  }

  function update(facts) {
    const title = { up: "MetaMCP is up", starting: "MetaMCP is starting", stopping: "MetaMCP is stopping", failed: "MetaMCP is not available" };
    document.body.dataset.status = facts.status;
    part("state").textContent = document.title = title[facts.status] ?? facts.status;
    const { pin, id } = facts.release;
    const where = facts.step && `${facts.step}: ${facts.message}`;
    const about = [where, `running for ${duration(facts.uptime_seconds)}`, pin.ref && `MetaMCP ${pin.ref}`, id && `release ${id}`, `Node ${facts.node}`];
    part("summary").textContent = about.filter(Boolean).join(" · ");
    const { error, cause, fix, failed_step, failed_code, steps, attempts, memory, credential, token, database_pool } = facts;
    show("failure", { error, cause, fix, failed_step, failed_code }, failureOf);
    show("plots", facts.last_hour, plotsOf);
    show("services", facts.services, servicesOf);
    show("start", { steps, attempts }, startOf);
    show("limits", { memory, credential, token, database_pool }, limitsOf);
    show("sessions", facts.sessions, sessionsOf);
    show("processes", facts.processes, processesOf);
    show("requests", facts.requests, requestsOf);
    const log = part("log");
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
    show("log", facts.log, logOf);
    if (atEnd) log.scrollTop = log.scrollHeight;
    show("environment", facts.environment, (lines) => lines.join("\n"));
    return facts.status === "up" ? EVERY_MS : STARTING_MS;
  }

  function silent(why) {
    document.body.dataset.status = "silent";
    part("state").textContent = document.title = "No status";
    part("summary").textContent = why;
    return EVERY_MS;
  }

  async function refresh() {
    let wait = EVERY_MS;
    try {
      if (document.hidden) return;
      const answer = await fetch("/.metamcp-deploy/status", { headers: { accept: "application/json" }, redirect: "manual", cache: "no-store" });
      if (answer.ok) wait = update(await answer.json());
      else wait = silent(answer.type === "opaqueredirect" ? "The sign-in has ended: reload this page." : `The launcher answers ${answer.status}.`);
    } catch (error) {
      wait = silent(`The app does not answer (${error.message}). This page goes on asking.`);
    } finally {
      setTimeout(refresh, wait);
    }
  }

  refresh();
}
