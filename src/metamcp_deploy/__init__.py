"""Takes a pinned MetaMCP to a healthy Databricks App on Lakebase."""

__version__ = "0.1.0"
