// Separate fields, because a connection string's password would win over the function that is asked for each
// new connection: passwords end after an hour.
host: process.env.PGHOST,
port: Number(process.env.PGPORT ?? 5432),
database: process.env.PGDATABASE,
user: process.env.PGUSER,
password: databasePassword,
ssl: databaseSsl()
