import { createHash, randomBytes } from "node:crypto";

import { APP_URL } from "./settings";

type Pending = { verifier: string; callbackURL: string };
type Profile = { email: string; name?: string };
type Endpoints = { authorization_endpoint: string; token_endpoint: string; userinfo_endpoint: string };

export const providerId = process.env.OIDC_PROVIDER_ID || "oidc";

// Read once: the secret does not stay in the environment.
const clientId = process.env.OIDC_CLIENT_ID;
const clientSecret = process.env.OIDC_CLIENT_SECRET;
const discoveryUrl = process.env.OIDC_DISCOVERY_URL;

const redirectUri = new URL(`/api/auth/oauth2/callback/${providerId}`, APP_URL).href;
const pending = new Map<string, Pending>();

export const isConfigured = Boolean(clientId && clientSecret && discoveryUrl);

async function json<T>(url: string, init?: RequestInit): Promise<T> {
  const response = await fetch(url, init);
  if (!response.ok) {
    throw new Error(`${url} answered ${response.status}`);
  }
  return (await response.json()) as T;
}

/** Where to send the browser, and the state that comes back with it. */
export async function begin(callbackURL: string): Promise<{ url: string; state: string }> {
  const { authorization_endpoint } = await json<Endpoints>(discoveryUrl!);
  const [state, verifier] = [randomBytes(16).toString("hex"), randomBytes(32).toString("base64url")];
  pending.set(state, { verifier, callbackURL });
  const url = new URL(authorization_endpoint);
  url.search = new URLSearchParams({
    response_type: "code",
    client_id: clientId!,
    redirect_uri: redirectUri,
    scope: process.env.OIDC_SCOPES || "openid email profile",
    state,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  }).toString();
  return { url: url.href, state };
}

/** Who it is, once the browser is back; null when nobody was sent away with this state. */
export async function finish(
  state: string,
  code: string,
): Promise<{ profile: Profile; callbackURL: string } | null> {
  const known = pending.get(state);
  pending.delete(state);
  if (!known) {
    return null;
  }
  const endpoints = await json<Endpoints>(discoveryUrl!);
  const { access_token } = await json<{ access_token: string }>(endpoints.token_endpoint, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "authorization_code",
      code,
      redirect_uri: redirectUri,
      client_id: clientId!,
      client_secret: clientSecret!,
      code_verifier: known.verifier,
    }),
  });
  const headers = { authorization: `Bearer ${access_token}` };
  const profile = await json<Profile>(endpoints.userinfo_endpoint, { headers });
  return { profile, callbackURL: known.callbackURL };
}
