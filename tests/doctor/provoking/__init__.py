"""Failures provoked in an embedded workspace through their real causes, for `doctor` to name."""
