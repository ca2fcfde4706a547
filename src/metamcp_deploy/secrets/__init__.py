"""The secrets of a target."""
