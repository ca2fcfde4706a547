"""Returns to an earlier deployment, and on request to the data of that time."""
