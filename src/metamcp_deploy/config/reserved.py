"""Names in `app.env` that are somebody else's, and why."""

from __future__ import annotations

_NAMES = {
    "APP_URL": "it is the app's own address, known once the app exists",
    "BETTER_AUTH_SECRET": "it is kept in the target's secret scope",
    "DATABASE_URL": "it is made from the database's credential, which changes every hour",
    "HOSTNAME": "the launcher binds the services to this machine's own address",
    "LAKEBASE_ENDPOINT": "it is the database resource's path",
    "METAMCP_ALLOW_INSTANCES": "app.allow_instances sets it",
    "METAMCP_APP_ENV": "it lists the variables that the services get",
    "METAMCP_BACKEND_PORT": "the launcher chooses the port",
    "METAMCP_CHILD_ENV": "app.child_env sets it",
    "METAMCP_COMPUTE_SIZE": "app.compute_size sets it",
    "METAMCP_CONTACT": "app.contact sets it",
    "METAMCP_DATABASE_CLIENT_ID": "database.principal sets it",
    "METAMCP_DATABASE_CLIENT_SECRET": "database.principal sets it",
    "METAMCP_INSPECTOR": "app.inspector sets it",
    "METAMCP_OPERATORS": "app.operators sets it",
    "METAMCP_SECRET_ENV": "it lists the variables that are secrets",
    "METAMCP_SIGN_UP": "app.sign_up sets it",
    "NEXT_PUBLIC_APP_URL": "it is the app's own address, known once the app exists",
    "NODE_ENV": "the launcher starts the services for production",
    "PORT": "the launcher chooses the port",
    "TRANSFORM_LOCALHOST_TO_DOCKER_INTERNAL": "there is no Docker around the app",
}
_PREFIXES = {
    "DATABRICKS_": "the platform sets all DATABRICKS_ names",
    "PG": "the database resource sets the PG names",
}


def reason(name: str) -> str | None:
    """Why an app may not be given this variable; None when it may."""
    if name in _NAMES:
        return _NAMES[name]
    return next((why for prefix, why in _PREFIXES.items() if name.startswith(prefix)), None)
