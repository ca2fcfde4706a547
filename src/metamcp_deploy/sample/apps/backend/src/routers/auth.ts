import { SignInSchema, SignUpSchema } from "@repo/zod-types";
import express from "express";

import {
  closeSession,
  createUser,
  currentUser,
  findUser,
  fromOtherOrigin,
  openSession,
  signUpIsClosed,
} from "../lib/auth";

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

authRouter.post("/sign-out", async (req, res) => {
  await closeSession(req, res);
  res.json({ success: true });
});

authRouter.get("/get-session", async (req, res) => {
  const user = await currentUser(req);
  res.json(user && { user });
});

export default authRouter;
