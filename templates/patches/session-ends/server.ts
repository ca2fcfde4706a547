{{ text }}

endsSessions("mcp-proxy/server", (sessionId) => cleanupSession(sessionId));
