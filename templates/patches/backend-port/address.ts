Number(process.env.METAMCP_BACKEND_PORT ?? 12009), "127.0.0.1"
