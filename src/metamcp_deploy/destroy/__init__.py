"""Deleting what a target made."""
