import { randomBytes } from "node:crypto";

import { OAuthSignInSchema, SignInSchema, SignUpSchema } from "@repo/zod-types";
import express from "express";

import {
  closeSession,
  createUser,
  currentUser,
  findUser,
  findUserByEmail,
  fromOtherOrigin,
  openSession,
  signUpIsClosed,
} from "../lib/auth";
import { begin, finish, isConfigured, providerId } from "../lib/oidc";

const authRouter = express.Router();

authRouter.use((req, res, next) => {
  if (fromOtherOrigin(req)) {
    res.status(403).json({ code: "INVALID_ORIGIN", message: "Invalid origin" });
    return;
  }
  next();
});

authRouter.post("/sign-up/email", async (req, res) => {
  const input = SignUpSchema.safeParse(req.body);
  if (!input.success) {
    res.status(400).json({ code: "VALIDATION_ERROR", message: input.error.message });
    return;
  }
  if (await signUpIsClosed()) {
    res.status(403).json({ code: "SIGN_UP_CLOSED", message: "Sign-up is closed" });
    return;
  }
  const { email, name, password } = input.data;
  const user = await createUser(email, name, password);
  if (!user) {
    res.status(422).json({ code: "USER_ALREADY_EXISTS", message: "This address has an account" });
    return;
  }
  const token = await openSession(user, res);
  res.json({ token, user: { id: user.id, email: user.email, name: user.name } });
});

authRouter.post("/sign-in/email", async (req, res) => {
  const input = SignInSchema.safeParse(req.body);
  const user = input.success && (await findUser(input.data.email, input.data.password));
  if (!user) {
    res.status(401).json({ code: "INVALID_EMAIL_OR_PASSWORD", message: "Wrong address or password" });
    return;
  }
  const token = await openSession(user, res);
  res.json({ token, user: { id: user.id, email: user.email, name: user.name } });
});

// Single sign-on: away to the issuer, and back with a code.
authRouter.post("/sign-in/oauth2", async (req, res) => {
  const input = OAuthSignInSchema.safeParse(req.body);
  if (!input.success || !isConfigured || input.data.providerId !== providerId) {
    res.status(404).json({ code: "PROVIDER_NOT_FOUND", message: "There is no such provider" });
    return;
  }
  const { url, state } = await begin(input.data.callbackURL);
  res.cookie("gateway.state", state, { httpOnly: true, sameSite: "lax", path: "/" });
  res.json({ url, redirect: true });
});

authRouter.get(`/oauth2/callback/${providerId}`, async (req, res) => {
  const { state, code } = req.query as Record<string, string>;
  const own = req.headers.cookie?.split(/;\s*/).includes(`gateway.state=${state}`);
  const done = own ? await finish(state!, code!) : null;
  if (!done) {
    res.status(401).json({ code: "STATE_MISMATCH", message: "Begin again" });
    return;
  }
  const { email, name = email } = done.profile;
  const user =
    (await findUserByEmail(email)) ?? (await createUser(email, name, randomBytes(32).toString("hex")));
  await openSession(user!, res);
  res.redirect(done.callbackURL);
});

authRouter.post("/sign-out", async (req, res) => {
  await closeSession(req, res);
  res.json({ success: true });
});

authRouter.get("/get-session", async (req, res) => {
  const user = await currentUser(req);
  res.json(user && { user });
});

export default authRouter;
