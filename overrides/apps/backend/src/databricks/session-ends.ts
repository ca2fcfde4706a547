// Each router's own way to end one of its sessions, for the preload, which runs outside this bundle: the launcher asks it
// to end sessions that nobody has used for a while.

type End = (sessionId: string, endpoint: string) => Promise<void>;

/** From now on, sessions of this router can be ended by `end`. Nothing happens outside the launcher. */
export function endsSessions(router: string, end: End): void {
  const known = Reflect.get(globalThis, Symbol.for("metamcp-deploy.session-ends")) as Map<string, End> | undefined;
  known?.set(router, end);
}
