"""One kind of thing in a workspace, one file."""
