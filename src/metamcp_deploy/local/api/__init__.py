"""The HTTP API of the embedded workspace: one file for each family of routes."""
