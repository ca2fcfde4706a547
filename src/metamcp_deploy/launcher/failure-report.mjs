// The report about a failure for operators: error, cause, fix, masked environment, last log lines.

import { diagnose } from "./diagnoses.mjs";
import { redact, recent } from "./log.mjs";

/**
 * @param away {step, code, message, detail?}
 * @param environment lines, masked
 * @returns {error, cause, fix, environment, log: {source: [lines]}}; cause and fix are null for an unknown failure
 */
export function failureReport(away, environment) {
  const log = recent();
  const known = diagnose(away, log[away.step]);
  const error = redact([away.message, away.detail].filter(Boolean).join(" "));
  return { error, cause: known?.cause ?? null, fix: known && fixOf(known), environment: environment.map(redact), log };
}

/** What ends a known failure, with the app's name in its commands. */
export function fixOf({ fix }) {
  return fix.replaceAll("{app}", process.env.DATABRICKS_APP_NAME ?? "NAME");
}
