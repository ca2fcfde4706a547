// How long to wait before something outside the container is tried again.

const DELAYS_MS = [1_000, 2_000, 5_000, 10_000, 20_000, 30_000];

/** Milliseconds to wait after as many failures in a row; the first failure is number 0. */
export function retryDelay(failures) {
  return DELAYS_MS[Math.min(failures, DELAYS_MS.length - 1)];
}
