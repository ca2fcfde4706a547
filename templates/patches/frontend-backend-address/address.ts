`http://127.0.0.1:${process.env.METAMCP_BACKEND_PORT ?? 12009}`
