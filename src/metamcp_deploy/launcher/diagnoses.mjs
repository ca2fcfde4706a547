// Known failures of a start. KNOWN_FAILURES is what knowledge/launcher/ says, in order; the bundler puts it in its place.

const known = typeof KNOWN_FAILURES === "undefined" ? [] : KNOWN_FAILURES;

// Compiled once: the status document looks at many lines.
const signs = known.map((one) => one.signs.map(({ code, log }) => ({ code, log: log && new RegExp(log, "im") })));
const WITH_CODE = /^Start failed at step \S+ \((\w+)\)/;

/** The first that a single line of the log shows: {id, cause, fix}, or null. */
export function explain(line) {
  const code = WITH_CODE.exec(line)?.[1];
  const fits = (sign) => (!sign.code || sign.code.includes(code)) && (!sign.log || sign.log.test(line));
  return known[signs.findIndex((several) => several.some(fits))] ?? null;
}

/** The first that fits a failure {code, message, detail} or the last `lines` of its step: {cause, fix, signs}, or null. */
export function diagnose({ code, message, detail = "" }, lines = []) {
  const text = [code, message, detail, ...lines].join("\n");
  const fits = (sign) => (!sign.code || sign.code.includes(code)) && (!sign.log || new RegExp(sign.log, "im").test(text));
  return known.find(({ signs }) => signs.some(fits)) ?? null;
}
