import { betterFetch } from "@better-fetch/fetch";
import { NextRequest, NextResponse } from "next/server";

const locales = ["en", "zh"];
const publicPages = ["/", "/login", "/register"];

function preferredLocale(request: NextRequest): string {
  const accepted = request.headers.get("accept-language") ?? "";
  return accepted.startsWith("zh") ? "zh" : "en";
}

export async function middleware(request: NextRequest) {
  const { pathname, search } = request.nextUrl;
  const [, locale = "", ...rest] = pathname.split("/");

  if (!locales.includes(locale)) {
    const target = new URL(`/${preferredLocale(request)}${pathname}`, request.url);
    target.search = search;
    return NextResponse.redirect(target);
  }

  const page = `/${rest.join("/")}`;
  if (publicPages.includes(page)) {
    return NextResponse.next();
  }

  const login = new URL(`/${locale}/login`, request.url);
  login.searchParams.set("callbackUrl", page);
  try {
    const { data: session } = await betterFetch("/api/auth/get-session", {
      baseURL: "http://localhost:12009",
      headers: {
        cookie: request.headers.get("cookie") || "",
        "x-forwarded-host": request.headers.get("x-forwarded-host") || "",
        "x-forwarded-proto": request.headers.get("x-forwarded-proto") || "",
      },
    });
    return session ? NextResponse.next() : NextResponse.redirect(login);
  } catch (error) {
    console.error("The session cannot be asked for:", error);
    return NextResponse.redirect(login);
  }
}

export const config = {
  matcher: ["/((?!_next|api/|trpc|mcp-proxy|metamcp|service|health|.*\\..*).*)"],
};
