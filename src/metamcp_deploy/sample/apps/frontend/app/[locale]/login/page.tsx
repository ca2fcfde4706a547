"use client";

import Link from "next/link";
import { useParams } from "next/navigation";
import { type FormEvent, useState } from "react";

export default function Login() {
  const { locale } = useParams<{ locale: string }>();
  const [problem, setProblem] = useState("");

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const kind = (event.nativeEvent as SubmitEvent).submitter?.getAttribute("value");
    const email = String(form.get("email"));
    const response = await fetch(`/api/auth/${kind}/email`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ email, password: form.get("password"), name: email }),
    });
    if (response.ok) {
      window.location.assign(`/${locale}/endpoints`);
    } else {
      const body = (await response.json().catch(() => null)) as { message?: string } | null;
      setProblem(body?.message ?? `The server answered ${response.status}`);
    }
  }

  return (
    <main>
      <h1>Sign in</h1>
      <form onSubmit={submit}>
        <label>
          Email <input name="email" type="email" autoComplete="username" required />
        </label>
        <label>
          Password <input name="password" type="password" autoComplete="current-password" minLength={8} required />
        </label>
        <button value="sign-in">Sign in</button>
        <button value="sign-up">Sign up</button>
        <p role="alert">{problem}</p>
      </form>
      <p>
        <Link href="/register">Make an account</Link>{" · "}
        <Link href="/login">Sign in</Link>
      </p>
    </main>
  );
}
