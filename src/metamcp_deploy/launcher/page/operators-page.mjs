// The page for operators at /.metamcp-deploy/: one HTML file, filled and refreshed by its script from the status document.

import { pageScript } from "./page-script.mjs";
import { hashed, STYLE } from "./style.mjs";

const OWN_STYLE = `${STYLE}
main{max-width:60rem}
.card{border:1px solid var(--line);border-left:.3rem solid var(--bad);border-radius:.4rem;background:var(--card);padding:.2rem 1rem;margin:1rem 0}
.fix{display:flex;gap:.6rem;align-items:start;flex-wrap:wrap;margin:.6rem 0}
.fix code{flex:1 1 14rem;padding:.4rem .6rem;border:1px solid var(--line);border-radius:.4rem;background:var(--page)}
h1::before{content:"";display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.5rem;background:var(--warn)}
[data-status=up] h1::before{background:var(--good)}
[data-status=failed] h1::before,[data-status=silent] h1::before{background:var(--bad)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:1rem}
figure{margin:0}
figcaption{font-size:.9rem}
svg{width:100%;height:4rem;display:block;border-bottom:1px solid var(--line)}
svg rect{fill:var(--mark)}
svg .errors{fill:var(--bad)}
svg path{fill:none;stroke:var(--mark);stroke-width:1.5;vector-effect:non-scaling-stroke}
svg .slow{stroke:var(--warn)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}
section>div{overflow-x:auto}
th{font-weight:600;color:var(--soft);font-size:.9rem}
meter{width:100%;height:1.1rem}
.log{max-height:26rem;padding:.4rem .8rem}
.log div{padding:.1rem 0}
.log b{font-weight:600;color:var(--soft)}
.log p{margin:.1rem 0 .4rem 1rem;padding-left:.6rem;border-left:.2rem solid var(--warn);font-family:system-ui,sans-serif}
details{margin:2rem 0}
`;
const SCRIPT = `(${pageScript})();`;

/** The whole page. */
export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>MetaMCP</title>
<style>${OWN_STYLE}</style>
</head>
<body>
<main>
<h1 id="state" role="status">MetaMCP</h1>
<p id="summary" class="note">Asking for the status.</p>
<div id="failure"></div>
<section><h2>Last hour</h2><div id="plots" class="plots"></div><p class="note">A minute each; the present one is at the right.</p></section>
<section><h2>Services</h2><div id="services"></div></section>
<section><h2>Start</h2><div id="start"></div></section>
<section><h2>Memory and credentials</h2><div id="limits"></div></section>
<section><h2>Sessions</h2><div id="sessions"></div></section>
<section><h2>MCP servers</h2><div id="processes"></div></section>
<section><h2>Requests</h2><div id="requests"></div></section>
<section><h2>Log</h2><pre id="log" class="log" tabindex="0" aria-label="Last lines of the log"></pre></section>
<details><summary>Environment</summary><pre id="environment" tabindex="0" aria-label="Environment"></pre></details>
<noscript><p>This page needs its script. The same facts as text: <a href="/.metamcp-deploy/status">status</a>.</p></noscript>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`;

/** With its security policy: its own style and script, and questions to the launcher. */
export const PAGE_HEADERS = {
  "content-security-policy":
    `default-src 'none'; script-src ${hashed(SCRIPT)}; style-src ${hashed(OWN_STYLE)}; connect-src 'self'; ` +
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  "referrer-policy": "no-referrer",
};
