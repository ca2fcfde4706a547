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
  const fix = known?.fix.replaceAll("{app}", process.env.DATABRICKS_APP_NAME ?? "NAME") ?? null;
  return { error, cause: known?.cause ?? null, fix, environment: environment.map(redact), log };
}
