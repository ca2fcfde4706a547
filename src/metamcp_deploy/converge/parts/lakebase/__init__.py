"""A database of Lakebase autoscaling: what it should be, what differs, and what changing it takes."""
