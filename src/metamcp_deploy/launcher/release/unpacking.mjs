// The release's parts, unpacked into a folder that this launcher made. What was unpacked before is never used: whatever
// runs in the container runs as the same user, and could have written to it.

import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { promisify } from "node:util";
import zlib from "node:zlib";

import { Failure } from "../failure.mjs";
import { putKeys } from "./next-keys.mjs";
import { say } from "../log.mjs";
import { PARTS } from "./release.mjs";
import { ownFolder, removeAbandoned } from "./scratch.mjs";
import { extract } from "./tar.mjs";

const INFLATE_CHUNK = 4 * 1024 * 1024;
const SLICE = 256 * 1024; // written before the event loop turns
const FULL = ["ENOSPC", "EDQUOT"];
const gunzip = promisify(zlib.gunzip);

export class Unpacking {
  /** Where each part is, once it is ready. */
  folders = {};
  #parts = new Map(); // name → promise of the part: under way or done
  #queue = Promise.resolve();

  /**
   * @param root folder of the archives
   * @param release as readRelease gives it
   * @param keys of the deployment (see next-keys.mjs), put into the files that the release names
   */
  constructor(root, release, keys) {
    Object.assign(this, { root, release, keys });
  }

  /**
   * Unpacks what is neither there nor under way: may be called again after a failure. Returns when the archives are
   * known to be what release.json names: {backend, migrations, frontend: promises}, for what is ready first can be used
   * first. None is left without somebody who hears of its failure.
   */
  async start() {
    this.#makeFolders();
    const ready = Object.fromEntries(this.#parts);
    const packed = [];
    for (const name of PARTS) if (!ready[name]) packed.push([name, await this.#checked(name)]);
    const tars = packed.map(([name, content]) => [name, inflated(content)]);
    for (const [name, tar] of tars) ready[name] = this.#keep(name, this.#enqueue(name, tar));
    return ready;
  }

  /** Unpacks what a service is made of again, before it starts again: its files may have been changed since. */
  async renew(service) {
    for (const name of new Set(["backend", service])) {
      await this.#parts.get(name); // under way: that is new enough, but nothing may come between
      await this.#enqueue(name, inflated(await this.#checked(name)));
    }
  }

  /** Frees what launchers before this one left. */
  tidy() {
    return removeAbandoned();
  }

  #makeFolders() {
    if (this.folders.backend) return;
    try {
      const own = ownFolder();
      for (const name of PARTS) this.folders[name] = path.join(own, name);
    } catch (error) {
      throw failureOf(error, "There is no place to unpack the release to.");
    }
  }

  #keep(name, part) {
    this.#parts.set(name, part);
    part.catch(() => this.#parts.delete(name));
    return part;
  }

  /** Parts are inflated at once, by other threads; what comes out is written one after the other. */
  #enqueue(name, tar) {
    const part = this.#queue.then(() => this.#unpack(name, tar));
    this.#queue = part.catch(() => {});
    return part;
  }

  async #unpack(name, tar) {
    const { entry, keys } = this.release.parts[name];
    const folder = this.folders[name];
    const fresh = `${folder}.new`;
    const started = performance.now();
    try {
      fs.rmSync(fresh, { recursive: true, force: true });
      fs.mkdirSync(fresh, { recursive: true });
      const files = await written(await tar, fresh);
      const lacks = [entry, ...keys].find((file) => !fs.existsSync(path.join(fresh, file)));
      if (lacks) throw new Failure("unpack", "part_incomplete", `The part ${name} of the release has no ${lacks}: build again.`);
      putKeys(fresh, keys, this.keys);
      await replace(folder, fresh);
      say(`Unpacked ${name}: ${files} files in ${Math.round(performance.now() - started)} ms`);
    } catch (error) {
      await fs.promises.rm(fresh, { recursive: true, force: true }).catch(() => {});
      if (FULL.includes(error.code)) await this.tidy();
      throw failureOf(error, `The part ${name} of the release cannot be unpacked.`);
    }
  }

  async #checked(name) {
    const { file, sha256 } = this.release.parts[name];
    const archive = path.join(this.root, file);
    let content;
    try {
      content = await fs.promises.readFile(archive);
    } catch (error) {
      if (error.code !== "ENOENT") throw failureOf(error, `The part ${name} of the release cannot be read.`);
      throw new Failure("unpack", "part_missing", `The part ${name} of the release is not there: deploy again.`, { detail: error.message });
    }
    const found = createHash("sha256").update(content).digest("hex");
    if (found === sha256) return content;
    const detail = `${archive}: sha256 ${found}, release.json says ${sha256}`;
    throw new Failure("unpack", "part_altered", `The part ${name} is not the one that release.json names: deploy again.`, { detail });
  }
}

/** What the system refuses (no space, no descriptor) may be over when it is tried again; a damaged archive stays one. */
function failureOf(error, message) {
  if (error instanceof Failure) return error;
  const full = FULL.includes(error.code);
  const heals = full || (error.syscall !== undefined && !error.damaged);
  const code = full ? "disk_full" : heals ? "unpack_failed" : "part_damaged";
  return new Failure("unpack", code, message, { detail: error.message, heals });
}

/** The tar of a gzip; its failure is told when it is waited for. */
function inflated(content) {
  const tar = gunzip(content, { chunkSize: INFLATE_CHUNK });
  tar.catch(() => {});
  return tar;
}

/** How many files were written. */
async function written(tar, folder) {
  try {
    return await extract(slices(tar), folder);
  } catch (error) {
    // In a folder that was empty: the archive holds a name twice, or a file where it needs a folder.
    if (["EEXIST", "ENOTDIR", "EISDIR"].includes(error.code)) error.damaged = true;
    throw error;
  }
}

async function* slices(content) {
  for (let at = 0; at < content.length; at += SLICE) {
    yield content.subarray(at, at + SLICE);
    await turn();
  }
}

/** Puts what `fresh` holds in place of all that `folder` holds. The folder itself stays: programs may stand in it. */
async function replace(folder, fresh) {
  const stat = fs.lstatSync(folder, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) {
    if (stat) fs.rmSync(folder);
    return fs.renameSync(fresh, folder);
  }
  const entries = fs.readdirSync(fresh, { withFileTypes: true });
  const files = new Set(entries.filter((entry) => entry.isFile()).map((entry) => entry.name));
  for (const old of fs.readdirSync(folder, { withFileTypes: true })) {
    // A file goes over a file at once, so that a program that starts at this moment finds the one or the other.
    if (old.isDirectory() || !files.has(old.name)) await fs.promises.rm(path.join(folder, old.name), { recursive: true, force: true });
  }
  for (const { name } of entries) fs.renameSync(path.join(fresh, name), path.join(folder, name));
  fs.rmdirSync(fresh);
}
