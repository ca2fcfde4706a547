"""Making a release from the patched tree."""
