// Known failures of a start. KNOWN_FAILURES is what knowledge/launcher/ says, in order; the bundler puts it in its place.

const known = typeof KNOWN_FAILURES === "undefined" ? [] : KNOWN_FAILURES;

/** The first that fits a failure {code, message, detail} or the last `lines` of its step: {cause, fix, signs}, or null. */
export function diagnose({ code, message, detail = "" }, lines = []) {
  const text = [code, message, detail, ...lines].join("\n");
  const fits = (sign) => (!sign.code || sign.code.includes(code)) && (!sign.log || new RegExp(sign.log, "im").test(text));
  return known.find(({ signs }) => signs.some(fits)) ?? null;
}
