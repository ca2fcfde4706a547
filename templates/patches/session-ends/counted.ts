{{ text }}

endsSessions("public-metamcp/streamable-http", (sessionId, endpoint) => cleanupSession(sessionId, endpoint));
