"""`init --from-predecessor`: reads what the Makefile's deployments are, and writes the metamcp.yaml that keeps them."""
