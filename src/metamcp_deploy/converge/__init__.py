"""Compares what a target has in its workspace with what it should have, and makes it so."""
