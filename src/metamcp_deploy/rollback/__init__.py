"""Going back to an earlier deployment, and its database with it only where that is asked for."""
