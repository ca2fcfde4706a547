// Where the database's password and TLS settings come from when MetaMCP runs as a Databricks App.
//
// The password is a credential that lives for an hour, so the launcher (the parent process) is asked for one whenever a
// connection is opened. It comes over the IPC channel and stands in no environment.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";

import "./pool-counts";

const ANSWER_MS = 20_000;

type Answer = { id?: string; value?: string; error?: string } | null;

/** A password that is valid now. Rejects when the launcher has none, does not answer, or is not there. */
export function databasePassword(): Promise<string> {
  return new Promise((resolve, reject) => {
    const id = randomUUID();
    const finish = (act: () => void) => {
      clearTimeout(timer);
      process.off("message", onMessage);
      act();
    };
    const fail = (why: string) => finish(() => reject(new Error(`No database password: ${why}.`)));
    const onMessage = (message: unknown) => {
      const answer = message as Answer;
      if (answer?.id !== id) return;
      const { value, error } = answer;
      if (typeof value === "string") finish(() => resolve(value));
      else fail(error ?? "the launcher gave none");
    };
    // The timer keeps the process alive while it waits; the channel itself does not (see preload.mjs).
    const timer = setTimeout(() => fail("the launcher did not answer"), ANSWER_MS);
    if (!process.send || !process.connected) return fail("this program was not started by the launcher");
    process.on("message", onMessage);
    process.send({ id, want: "database-password" }, (error: Error | null) => {
      if (error) fail(error.message);
    });
  });
}

/**
 * The `ssl` value for `pg`, from PGSSLMODE and PGSSLROOTCERT. Everything but `disable` verifies certificate and host
 * name against the system's and NODE_EXTRA_CA_CERTS' authorities, or against PGSSLROOTCERT alone; `verify-ca` leaves the
 * host name out. Modes that may fall back to plain text are refused.
 */
export function databaseSsl(): false | ConnectionOptions {
  const mode = process.env.PGSSLMODE || "require";
  if (mode === "disable") return false;
  if (!["require", "verify-ca", "verify-full"].includes(mode)) {
    throw new Error(`PGSSLMODE is ${mode}; disable, require, verify-ca or verify-full is expected.`);
  }
  const authority = process.env.PGSSLROOTCERT;
  return {
    host: process.env.PGHOST, // pg names the host only when it is not an address
    rejectUnauthorized: true,
    ...(authority && authority !== "system" && { ca: readFileSync(authority) }),
    ...(mode === "verify-ca" && { checkServerIdentity: () => undefined }),
  };
}
