// One spelling for each path, as any service may read it, for rules that must not be bypassed.

/** In lower case, percent-decoded until nothing is encoded, without empty parts; null with dot parts or too many encodings. */
export function normalizedPath(path) {
  let text = path;
  for (let i = 0; /%[0-9a-f]{2}/i.test(text); i++) {
    if (i === 5) return null;
    text = text.replace(/%([0-9a-f]{2})/gi, (_, digits) => String.fromCharCode(parseInt(digits, 16)));
  }
  const parts = text.toLowerCase().split(/[/\\]+/);
  return parts.includes(".") || parts.includes("..") ? null : parts.join("/");
}
