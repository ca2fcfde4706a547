// Scratch space: one folder for each launcher. Its name identifies the launcher's process, so that abandoned folders are
// recognised.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";

import { bornAt } from "../processes.mjs";

/** A new folder of this launcher only. Throws the file system's error. */
export function ownFolder() {
  const place = common();
  const own = `${process.pid}-${bornAt(process.pid)}-`;
  fs.mkdirSync(place, { recursive: true, mode: 0o700 });
  return fs.mkdtempSync(ours(place) ? path.join(place, own) : `${place}-${own}`);
}

/** Removes the folders of launchers that no longer run; ignores errors. */
export async function removeAbandoned() {
  const place = common();
  if (!ours(place)) return;
  for (const name of await fs.promises.readdir(place).catch(() => [])) {
    const [pid, born] = name.split("-");
    if (born === undefined || bornAt(Number(pid)) !== born) {
      await fs.promises.rm(path.join(place, name), { recursive: true, force: true }).catch(() => {});
    }
  }
}

function common() {
  return path.join(os.tmpdir(), "metamcp-release");
}

/** Whether it is a folder of this user, and not a link. */
function ours(place) {
  const stat = fs.lstatSync(place, { throwIfNoEntry: false });
  return Boolean(stat?.isDirectory()) && (!process.getuid || stat.uid === process.getuid());
}
