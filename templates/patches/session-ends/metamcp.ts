{{ text }}

endsSessions("mcp-proxy/metamcp", (sessionId) => cleanupSession(sessionId));
