{{ text | replace("12009", "${process.env.METAMCP_BACKEND_PORT ?? 12009}") }}
