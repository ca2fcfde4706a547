"""A target: where it is in its workspace, and how it should be."""
