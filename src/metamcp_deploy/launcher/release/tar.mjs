// Reads a tar stream (ustar, with pax and GNU long names) and writes its files below one folder.
//
// Writing is synchronous, file by file: for a thousand small files that is several times faster than the thread pool, and
// the event loop still runs between two chunks of the decompressor, so that the port keeps answering.

import fs from "node:fs";
import path from "node:path";

const BLOCK = 512;

/** Unpacks `chunks` (an async iterable of buffers) into an existing `folder`. Throws on anything but files and folders. */
export async function extract(chunks, folder) {
  const writer = new Writer(folder);
  const reader = new Reader(writer);
  try {
    for await (const chunk of chunks) reader.push(chunk);
    reader.end();
  } finally {
    writer.close();
  }
  return writer.files;
}

class Reader {
  #rest = Buffer.alloc(0);
  #body = 0; // bytes of the current entry that are still to come
  #padding = 0;
  #meta = null; // {type, chunks} while reading a long name or a pax header
  #next = {}; // fields of such a header, for the next entry
  #ended = false;

  constructor(writer) {
    this.writer = writer;
  }

  push(chunk) {
    let data = this.#rest.length ? Buffer.concat([this.#rest, chunk]) : chunk;
    while (data.length) {
      if (this.#body) {
        const part = data.subarray(0, this.#body);
        this.#take(part);
        data = data.subarray(part.length);
      } else if (this.#padding) {
        const skipped = Math.min(this.#padding, data.length);
        this.#padding -= skipped;
        data = data.subarray(skipped);
      } else if (data.length >= BLOCK) {
        this.#header(data.subarray(0, BLOCK));
        data = data.subarray(BLOCK);
      } else break;
    }
    this.#rest = Buffer.from(data);
  }

  end() {
    if (this.#body || this.#padding || this.#rest.length || !this.#ended) throw new Error("the archive ends too early");
  }

  #take(part) {
    if (this.#meta) this.#meta.chunks.push(Buffer.from(part));
    else this.writer.write(part);
    this.#body -= part.length;
    if (!this.#body) this.#entryRead();
  }

  #entryRead() {
    if (!this.#meta) return this.writer.close();
    const text = Buffer.concat(this.#meta.chunks);
    if (this.#meta.type === "L") this.#next.path = text.toString("utf8").replace(/\0.*$/s, "");
    if (this.#meta.type === "x") Object.assign(this.#next, paxRecords(text));
    this.#meta = null;
  }

  #header(block) {
    if (block.every((byte) => byte === 0)) {
      this.#ended = true;
      return;
    }
    if (this.#ended) throw new Error("the archive goes on after its end");
    checkSum(block);
    const type = String.fromCharCode(block[156] || 0x30);
    const size = type === "x" || type === "L" || type === "g" ? number(block, 124, 12) : Number(this.#next.size ?? number(block, 124, 12));
    this.#body = size;
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK;
    if (type === "x" || type === "L" || type === "g") {
      this.#meta = { type, chunks: [] };
      if (!size) this.#entryRead();
      return;
    }
    this.#open(type, this.#next.path ?? nameOf(block), number(block, 100, 8), size);
    this.#next = {};
  }

  #open(type, name, mode, size) {
    if (type === "5") {
      if (size) throw new Error(`${JSON.stringify(name)} is a folder with content`);
      this.writer.folder(name);
    } else if (type === "0" || type === "7") {
      this.writer.open(name, mode);
      if (!size) this.writer.close();
    } else {
      throw new Error(`${JSON.stringify(name)} is of type ${JSON.stringify(type)}; only files and folders are expected`);
    }
  }
}

class Writer {
  files = 0;
  #fd = -1;
  #known;

  constructor(root) {
    this.root = path.resolve(root);
    this.#known = new Set([this.root]); // existing folders
  }

  open(name, mode) {
    const target = this.#inside(name);
    this.#ensure(path.dirname(target));
    // "wx": an entry neither replaces an earlier one nor follows a link.
    this.#fd = fs.openSync(target, "wx", mode & 0o111 ? 0o755 : 0o644);
    this.files += 1;
  }

  write(part) {
    let offset = 0;
    while (offset < part.length) offset += fs.writeSync(this.#fd, part, offset);
  }

  close() {
    if (this.#fd >= 0) fs.closeSync(this.#fd);
    this.#fd = -1;
  }

  folder(name) {
    this.#ensure(this.#inside(name));
  }

  #ensure(folder) {
    if (this.#known.has(folder)) return;
    this.#ensure(path.dirname(folder));
    fs.mkdirSync(folder);
    this.#known.add(folder);
  }

  #inside(name) {
    const segments = name.split("/");
    const target = path.join(this.root, name);
    const leaves = !name || name.startsWith("/") || name.includes("\0") || segments.includes("..");
    if (leaves || !(target === this.root || target.startsWith(this.root + path.sep))) {
      throw new Error(`${JSON.stringify(name)} is not a path below the folder it is unpacked to`);
    }
    return target.replace(/\/+$/, "");
  }
}

function text(block, offset, length) {
  const field = block.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return field.subarray(0, end < 0 ? length : end).toString("utf8");
}

function number(block, offset, length) {
  if (block[offset] & 0x80) {
    let value = 0;
    for (let i = offset + 1; i < offset + length; i++) value = value * 256 + block[i];
    return value;
  }
  const digits = text(block, offset, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw new Error("a header of the archive holds no number where one belongs");
  return digits ? parseInt(digits, 8) : 0;
}

function nameOf(block) {
  const prefix = text(block, 257, 5) === "ustar" ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  return prefix ? `${prefix}/${name}` : name;
}

function checkSum(block) {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 0x20 : block[i];
  if (sum !== number(block, 148, 8)) throw new Error("a header of the archive is damaged");
}

function paxRecords(data) {
  const fields = {};
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const length = space < 0 ? NaN : Number(data.toString("latin1", at, space));
    if (!Number.isInteger(length) || length <= 0 || at + length > data.length) throw new Error("a pax header is damaged");
    const record = data.toString("utf8", space + 1, at + length - 1);
    const equals = record.indexOf("=");
    const key = record.slice(0, equals);
    if (key === "path" || key === "size") fields[key] = record.slice(equals + 1);
    at += length;
  }
  return fields;
}
