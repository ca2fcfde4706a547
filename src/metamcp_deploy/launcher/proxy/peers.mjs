// Whether a connection to the app's port comes from a program of this container, such as an MCP server, in place of the
// platform's proxy. Linux only: elsewhere nothing is known. Source: proc(5), /proc/net/tcp and /proc/<pid>/fd.

import fs from "node:fs";
import os from "node:os";

const LOCAL_ADDRESS = 1; // columns of /proc/net/tcp
const REMOTE_ADDRESS = 2;
const STATE = 3;
const UID = 7;
const INODE = 9;
const ESTABLISHED = "01";

/** Whether a program of this container holds the other end of a socket, or held it a moment ago. */
export function isInside({ remoteAddress, remotePort, localAddress, localPort }) {
  if (!isOwnAddress(remoteAddress ?? "")) return false;
  const table = connections();
  if (!table) return false;
  const ends = [`${hex(remoteAddress)}:${port(remotePort)}`, `${hex(localAddress)}:${port(localPort)}`];
  const found = table.find((fields) => ends.every((end, i) => fields[LOCAL_ADDRESS + i].endsWith(end)));
  // Whoever sends a request and goes away at once leaves a socket that nobody holds.
  if (!found || found[STATE] !== ESTABLISHED || found[INODE] === "0") return true;
  return isHeld(`socket:[${found[INODE]}]`, found[UID]);
}

function isOwnAddress(address) {
  if (address.startsWith("127.") || address === "::1") return true;
  return Object.values(os.networkInterfaces()).flat().some((one) => one.address === address);
}

/** The connections of this network, as fields; null where the kernel does not show them. */
function connections() {
  try {
    const texts = ["tcp", "tcp6"].map((name) => fs.readFileSync(`/proc/net/${name}`, "latin1"));
    return texts.flatMap((text) => text.trim().split("\n").slice(1)).map((line) => line.trim().split(/\s+/));
  } catch {
    return null;
  }
}

/** An IPv4 address as in the tables; a program's IPv6 socket shows it as the end of a mapped one. */
function hex(address) {
  return address.split(".").reverse().map((part) => Number(part).toString(16).padStart(2, "0")).join("").toUpperCase();
}

function port(number) {
  return number.toString(16).padStart(4, "0").toUpperCase();
}

function isHeld(socket, uid) {
  return fs.readdirSync("/proc").some((pid) => /^\d+$/.test(pid) && holds(pid, socket, uid));
}

function holds(pid, socket, uid) {
  try {
    return fs.readdirSync(`/proc/${pid}/fd`).some((fd) => linked(`/proc/${pid}/fd/${fd}`) === socket);
  } catch (error) {
    // A program that hides its descriptors may be the one, if it runs as the socket's user.
    return error.code === "EACCES" && usersOf(pid).includes(uid);
  }
}

function linked(path) {
  try {
    return fs.readlinkSync(path);
  } catch {
    return "";
  }
}

function usersOf(pid) {
  try {
    return /^Uid:\s*(.*)$/m.exec(fs.readFileSync(`/proc/${pid}/status`, "latin1"))?.[1].split(/\s+/) ?? [];
  } catch {
    return [];
  }
}
