{{ text }}

endsSessions("public-metamcp/sse", (sessionId) => cleanupSession(sessionId));
