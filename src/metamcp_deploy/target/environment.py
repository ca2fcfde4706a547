"""The environment of an app: settings, references to secrets, and how the launcher gets to the database."""

from __future__ import annotations

from metamcp_deploy.config.app import SESSION_IDLE
from metamcp_deploy.config.declaration import SecretReference
from metamcp_deploy.config.model import Settings
from metamcp_deploy.target import databases
from metamcp_deploy.target.variables import (
    AUTH_RESOURCE,
    AUTH_SECRET,
    DATABASE_RESOURCE,
    EnvVar,
    secret_resource,
)

LOCAL_OPERATOR = "developer@example.com"  # the embedded workspace's one user


def environment(settings: Settings, app_url: str | None) -> list[EnvVar]:
    """The complete environment that the deploy call sends, in a fixed order.

    Args:
        settings: of the target.
        app_url: the app's public origin; None (before the app exists) leaves `APP_URL` out.
    """
    database = databases.of(settings).variables(settings.database)
    of_database = {v.name for v in database if v.value_from not in (None, DATABASE_RESOURCE)}
    of_app = {n for n, v in settings.app.env.items() if isinstance(v, SecretReference)}
    secret_names = sorted({AUTH_SECRET, *of_database, *of_app})
    # The launcher hands the services these names and no others of the platform's environment.
    plain_names = sorted(n for n, v in settings.app.env.items() if not isinstance(v, SecretReference))
    variables = {
        "TRANSFORM_LOCALHOST_TO_DOCKER_INTERNAL": EnvVar(
            "TRANSFORM_LOCALHOST_TO_DOCKER_INTERNAL", value="false"
        )
    }
    for name, value in sorted(settings.app.env.items()):
        if isinstance(value, SecretReference):
            variables[name] = EnvVar(name, value_from=secret_resource(value.secret))
        else:
            variables[name] = EnvVar(name, value=value)
    return [
        *([EnvVar("APP_URL", value=app_url)] if app_url else []),
        EnvVar(AUTH_SECRET, value_from=AUTH_RESOURCE),
        *database,
        EnvVar("METAMCP_SECRET_ENV", value=",".join(secret_names)),
        *([EnvVar("METAMCP_APP_ENV", value=",".join(plain_names))] if plain_names else []),
        *access(settings),
        *variables.values(),
    ]


def access(settings: Settings) -> list[EnvVar]:
    """Who may do what, and what MCP servers may be given, for the launcher."""
    app = settings.app
    operators = app.operators or ((LOCAL_OPERATOR,) if settings.embedded else ())
    given = {
        "METAMCP_SIGN_UP": settings.sign_up,
        "METAMCP_OPERATORS": ",".join(operators),
        "METAMCP_CONTACT": app.contact or "",
        "METAMCP_INSPECTOR": "" if app.inspector == "closed" else app.inspector,
        "METAMCP_CHILD_ENV": ",".join(app.child_env),
        "METAMCP_COMPUTE_SIZE": app.compute_size,
        "METAMCP_SESSION_IDLE": "" if app.session_idle == SESSION_IDLE else str(app.session_idle),
        "METAMCP_ALLOW_INSTANCES": "true" if app.allow_instances else "",
    }
    return [EnvVar(name, value=value) for name, value in given.items() if value]
