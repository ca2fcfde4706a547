"""Lakebase in the embedded workspace: autoscaling projects and provisioned instances over one real Postgres."""
