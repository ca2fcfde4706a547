// The style of all pages that people see: the launcher's own, and those of the embedded workspace, which reads it from here
// (local/api/pages.py takes what stands between the backticks).

import { createHash } from "node:crypto";

export const STYLE = `
:root{color-scheme:light dark;--page:#fff;--ink:#1b1f24;--soft:#59636e;--line:#d1d9e0;--card:#f6f8fa;--good:#1a7f37;--bad:#c4202b;--warn:#8a5a00;--mark:#0a58ca}
@media(prefers-color-scheme:dark){:root{--page:#10141a;--ink:#e6eaf0;--soft:#9aa4b0;--line:#343c47;--card:#181e26;--good:#4cc26b;--bad:#ff7b7b;--warn:#e0aa3e;--mark:#7db1ff}}
*{box-sizing:border-box}
body{font:1rem/1.5 system-ui,sans-serif;margin:0;background:var(--page);color:var(--ink)}
main{max-width:46rem;margin:auto;padding:2rem 1rem}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.15rem;margin:2rem 0 .5rem}
a{color:var(--mark)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.2rem;margin:.5rem 0}
dt{font-weight:600;overflow-wrap:anywhere}
dd{margin:0;overflow-wrap:anywhere}
pre{overflow:auto;padding:.8rem;border:1px solid var(--line);border-radius:.4rem;background:var(--card);font-size:.85rem;white-space:pre-wrap;overflow-wrap:anywhere}
code{font-size:.9em;overflow-wrap:anywhere}
button{font:inherit;color:inherit;background:var(--card);padding:.4em 1em;border:1px solid var(--line);border-radius:.4rem;cursor:pointer}
button:focus-visible,a:focus-visible,pre:focus-visible,summary:focus-visible{outline:2px solid var(--mark);outline-offset:2px}
.note{color:var(--soft);font-size:.9rem}
.steps{list-style:none;padding:0;margin:.5rem 0}
.steps li{display:flex;gap:.6rem;padding:.15rem 0}
.steps li::before{content:"✓";width:1em;color:var(--good)}
.steps .running::before{content:"…";color:var(--mark)}
.steps .failed::before{content:"✗";color:var(--bad)}
.steps span{margin-left:auto;color:var(--soft);font-variant-numeric:tabular-nums}
@media(max-width:40rem){main{padding:1.2rem .9rem}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.6rem}}
`;

/** How a Content-Security-Policy allows a style or script of the page, by its text. */
export function hashed(text) {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
