"""Databricks Apps in the embedded workspace: records, deployments, processes, the proxy in front of each app."""
