// Scratch space: a folder of each launcher's own, whose name says whose it is, so that those of launchers that are gone
// can be told from those in use.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";

import { bornAt } from "../processes.mjs";

/** A new folder that nobody else uses. Throws what the file system says. */
export function ownFolder() {
  const place = common();
  const own = `${process.pid}-${bornAt(process.pid)}-`;
  fs.mkdirSync(place, { recursive: true, mode: 0o700 });
  return fs.mkdtempSync(ours(place) ? path.join(place, own) : `${place}-${own}`);
}

/** Removes the folders of launchers that run no longer, as far as it can: nobody waits for it. */
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

/** Whether it is a folder, nobody else's, and no link. */
function ours(place) {
  const stat = fs.lstatSync(place, { throwIfNoEntry: false });
  return Boolean(stat?.isDirectory()) && (!process.getuid || stat.uid === process.getuid());
}
