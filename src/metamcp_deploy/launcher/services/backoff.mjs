// How long to wait before a service is restarted.

/** Milliseconds to wait. `deaths` are the times of the service's last ends, on the clock of `now`. */
export function backoff(deaths, now) {
  const recent = deaths.filter((time) => now - time < 300_000).length;
  if (recent >= 5) return 60_000;
  return Math.min(1_000 * 2 ** Math.max(0, recent - 1), 16_000);
}
