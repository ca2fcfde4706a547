"""The container of a Databricks App, as far as an app can notice it: its manifest, environment, disk and ports."""
