"""What an app's environment holds: settings, references to secrets, and how the launcher gets to the database."""

from __future__ import annotations

from dataclasses import dataclass

from metamcp_deploy.config.model import SecretReference, Settings

DATABASE_RESOURCE = "database"
AUTH_RESOURCE = "better-auth-secret"
LOCAL_OPERATOR = "developer@example.com"  # the embedded workspace's one user
AUTH_SECRET = "BETTER_AUTH_SECRET"  # noqa: S105 - the name of the variable and of the key in the scope


@dataclass(frozen=True)
class EnvVar:
    """One variable of the app: a plain `value`, or `value_from` the name of one of its resources."""

    name: str
    value: str | None = None
    value_from: str | None = None

    def as_dict(self) -> dict[str, str]:
        """As the deploy call and `config.env` in databricks.yml want it."""
        if self.value_from is not None:
            return {"name": self.name, "value_from": self.value_from}
        return {"name": self.name, "value": self.value or ""}


def secret_resource(key: str) -> str:
    """The app resource's name for a key of the secret scope: `OIDC_CLIENT_SECRET` → `secret-oidc-client-secret`."""
    return "secret-" + key.lower().replace("_", "-").replace(".", "-")


def environment(settings: Settings, app_url: str | None) -> list[EnvVar]:
    """The complete environment that the deploy call sends, in a fixed order.

    Args:
        settings: of the target.
        app_url: the app's public origin; None (before the app exists) leaves `APP_URL` out.
    """
    database = database_access(settings)
    of_database = {n for n, v in database.items() if v.value_from not in (None, DATABASE_RESOURCE)}
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
        *database.values(),
        EnvVar("METAMCP_SECRET_ENV", value=",".join(secret_names)),
        *([EnvVar("METAMCP_APP_ENV", value=",".join(plain_names))] if plain_names else []),
        *access(settings),
        *variables.values(),
    ]


def access(settings: Settings) -> list[EnvVar]:
    """What the launcher is told about who may do what, and what MCP servers may be given."""
    app = settings.app
    operators = app.operators or ((LOCAL_OPERATOR,) if settings.embedded else ())
    given = {
        "METAMCP_SIGN_UP": settings.sign_up,
        "METAMCP_OPERATORS": ",".join(operators),
        "METAMCP_CONTACT": app.contact or "",
        "METAMCP_INSPECTOR": "" if app.inspector == "closed" else app.inspector,
        "METAMCP_CHILD_ENV": ",".join(app.child_env),
        "METAMCP_COMPUTE_SIZE": app.compute_size,
        "METAMCP_ALLOW_INSTANCES": "true" if app.allow_instances else "",
    }
    return [EnvVar(name, value=value) for name, value in given.items() if value]


def database_access(settings: Settings) -> dict[str, EnvVar]:
    """By name, what tells the launcher how it gets to the database, besides the PG names that a resource injects."""
    d = settings.database
    made = []
    if d.url is not None:
        made.append(EnvVar("DATABASE_URL", value_from=secret_resource(d.url.secret)))
    if d.password is not None:
        made.append(EnvVar("PGPASSWORD", value_from=secret_resource(d.password.secret)))
    elif d.kind == "autoscaling":
        made.append(EnvVar("LAKEBASE_ENDPOINT", value_from=DATABASE_RESOURCE))
    elif d.kind == "provisioned":
        made.append(EnvVar("LAKEBASE_INSTANCE_NAME", value=settings.instance_name))
    if d.principal is not None:
        # Names of our own: the platform's DATABRICKS_CLIENT_ID and _SECRET stay the app's.
        key = d.principal.client_secret.secret
        made.append(EnvVar("METAMCP_DATABASE_CLIENT_ID", value=d.principal.client_id))
        made.append(EnvVar("METAMCP_DATABASE_CLIENT_SECRET", value_from=secret_resource(key)))
    return {variable.name: variable for variable in made}
