function required(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} environment variable is required`);
  }
  return value;
}

/** The public origin: cookies, the origin check and nothing else are built from it. */
export const APP_URL = new URL(required("APP_URL"));

export const BETTER_AUTH_SECRET = required("BETTER_AUTH_SECRET");
