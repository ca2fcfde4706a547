{{ text }}

endsSessions("public-metamcp/streamable-http", (sessionId) => cleanupSession(sessionId));
