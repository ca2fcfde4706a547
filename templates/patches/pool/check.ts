if (!process.env.PGHOST) {
  throw new Error("PGHOST is not set");
}
