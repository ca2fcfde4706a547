import {
  createHmac,
  randomBytes,
  randomUUID,
  scryptSync,
  timingSafeEqual,
} from "node:crypto";

import { and, eq, gt } from "drizzle-orm";
import type { Request, Response } from "express";

import { db } from "../db";
import { configTable, sessionsTable, usersTable } from "../db/schema";
import { APP_URL, BETTER_AUTH_SECRET } from "./settings";

const WEEK_SECONDS = 7 * 24 * 60 * 60;
const secure = APP_URL.protocol === "https:";
const cookieName = `${secure ? "__Secure-" : ""}gateway.session`;

export type User = { id: string; name: string; email: string };

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

function hashPassword(password: string, salt: string): string {
  return `${salt}:${scryptSync(password, salt, 32).toString("hex")}`;
}

function signature(token: string): string {
  return createHmac("sha256", BETTER_AUTH_SECRET).update(token).digest("base64url");
}

function cookieOf(request: Request): string | undefined {
  return request.headers.cookie
    ?.split(/;\s*/)
    .find((pair) => pair.startsWith(`${cookieName}=`))
    ?.slice(cookieName.length + 1);
}

function setCookie(response: Response, value: string, seconds: number): void {
  response.cookie(cookieName, value, {
    httpOnly: true,
    sameSite: "lax",
    path: "/",
    maxAge: seconds * 1000,
    secure,
    ...(secure && { domain: APP_URL.hostname }),
  });
}

/** Browsers name the page's origin; whoever brings a cookie from another page is refused. */
export function fromOtherOrigin(request: Request): boolean {
  const { origin, cookie } = request.headers;
  return Boolean(cookie && origin && origin !== APP_URL.origin);
}

export async function signUpIsClosed(): Promise<boolean> {
  const [row] = await db
    .select()
    .from(configTable)
    .where(eq(configTable.id, "SIGN_UP"));
  return row?.value === "closed";
}

export async function createUser(
  email: string,
  name: string,
  password: string,
): Promise<User | null> {
  const [user] = await db
    .insert(usersTable)
    .values({
      id: randomUUID(),
      email: email.toLowerCase(),
      name,
      passwordHash: hashPassword(password, randomBytes(16).toString("hex")),
    })
    .onConflictDoNothing()
    .returning();
  return user ?? null;
}

export async function findUser(
  email: string,
  password: string,
): Promise<User | null> {
  const [user] = await db
    .select()
    .from(usersTable)
    .where(eq(usersTable.email, email.toLowerCase()));
  const salt = user?.passwordHash.split(":")[0] ?? "";
  const matches = same(user?.passwordHash ?? "", hashPassword(password, salt));
  return user && matches ? user : null;
}

export async function findUserByEmail(email: string): Promise<User | null> {
  const [user] = await db
    .select()
    .from(usersTable)
    .where(eq(usersTable.email, email.toLowerCase()));
  return user ?? null;
}

export async function openSession(user: User, response: Response): Promise<string> {
  const token = randomBytes(32).toString("base64url");
  const expiresAt = new Date(Date.now() + WEEK_SECONDS * 1000);
  await db.insert(sessionsTable).values({ token, userId: user.id, expiresAt });
  setCookie(response, `${token}.${signature(token)}`, WEEK_SECONDS);
  return token;
}

export async function currentUser(request: Request): Promise<User | null> {
  const [token = "", signed = ""] = cookieOf(request)?.split(".") ?? [];
  if (!token || !same(signed, signature(token))) {
    return null;
  }
  const [row] = await db
    .select({ id: usersTable.id, name: usersTable.name, email: usersTable.email })
    .from(sessionsTable)
    .innerJoin(usersTable, eq(sessionsTable.userId, usersTable.id))
    .where(and(eq(sessionsTable.token, token), gt(sessionsTable.expiresAt, new Date())));
  return row ?? null;
}

export async function closeSession(request: Request, response: Response): Promise<void> {
  const token = cookieOf(request)?.split(".")[0];
  if (token) {
    await db.delete(sessionsTable).where(eq(sessionsTable.token, token));
  }
  setCookie(response, "", 0);
}
