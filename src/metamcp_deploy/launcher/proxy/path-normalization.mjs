// A path as any program behind might read it, for what must not be got round by another spelling.

/** In lower case, decoded as often as there is something to decode, without empty parts; null when it holds dot parts. */
export function plainPath(path) {
  let text = path;
  for (let i = 0; /%[0-9a-f]{2}/i.test(text); i++) {
    if (i === 5) return null;
    text = text.replace(/%([0-9a-f]{2})/gi, (_, digits) => String.fromCharCode(parseInt(digits, 16)));
  }
  const parts = text.toLowerCase().split(/[/\\]+/);
  return parts.includes(".") || parts.includes("..") ? null : parts.join("/");
}
