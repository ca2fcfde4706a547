"""What a target should look like in its workspace, computed from settings alone.

`build` renders it into databricks.yml, `bundle-deploy` and `app-deploy` make it so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metamcp_deploy.config.model import SecretReference, Settings

DATABASE_RESOURCE = "database"
AUTH_RESOURCE = "better-auth-secret"
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


@dataclass(frozen=True)
class LakebasePaths:
    """Resource names of the autoscaling database: `projects/P`, `projects/P/branches/B`, ...

    The database's id cannot hold an underscore (ids are DNS names), its Postgres name can.
    """

    project: str
    branch: str
    endpoint: str
    database: str

    @property
    def database_id(self) -> str:
        """The last part of `database`."""
        return self.database.rsplit("/", 1)[1]


def lakebase(settings: Settings) -> LakebasePaths:
    """Where the target's database is."""
    project = f"projects/{settings.project_id}"
    branch = f"{project}/branches/{settings.database.branch}"
    return LakebasePaths(
        project=project,
        branch=branch,
        endpoint=f"{branch}/endpoints/{settings.database.endpoint}",
        database=f"{branch}/databases/{settings.database.name.replace('_', '-')}",
    )


def secret_resource(key: str) -> str:
    """The app resource's name for a key of the secret scope: `OIDC_CLIENT_SECRET` → `secret-oidc-client-secret`."""
    return "secret-" + key.lower().replace("_", "-").replace(".", "-")


def environment(settings: Settings, app_url: str | None) -> list[EnvVar]:
    """The complete environment that the deploy call sends, in a fixed order.

    Args:
        settings: of the target.
        app_url: the app's public origin; None (before the app exists) leaves `APP_URL` out.
    """
    secret_names = sorted(
        {AUTH_SECRET, *(n for n, v in settings.app.env.items() if isinstance(v, SecretReference))}
    )
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
        EnvVar("LAKEBASE_ENDPOINT", value_from=DATABASE_RESOURCE),
        EnvVar("METAMCP_SECRET_ENV", value=",".join(secret_names)),
        *([EnvVar("METAMCP_APP_ENV", value=",".join(plain_names))] if plain_names else []),
        *access(settings),
        *variables.values(),
    ]


def access(settings: Settings) -> list[EnvVar]:
    """What the launcher is told about who may do what, and what MCP servers may be given."""
    app = settings.app
    given = {
        "METAMCP_SIGN_UP": settings.sign_up,
        "METAMCP_OPERATORS": ",".join(app.operators),
        "METAMCP_INSPECTOR": "" if app.inspector == "closed" else app.inspector,
        "METAMCP_CHILD_ENV": ",".join(app.child_env),
        "METAMCP_COMPUTE_SIZE": app.compute_size,
        "METAMCP_ALLOW_INSTANCES": "true" if app.allow_instances else "",
    }
    return [EnvVar(name, value=value) for name, value in given.items() if value]


def app_resources(settings: Settings) -> list[dict[str, Any]]:
    """The app's resources as the Apps API and databricks.yml spell them, with literal names.

    `config` has made sure that `app.env` takes no name of ours and that no two keys share a resource.
    """
    paths = lakebase(settings)
    keys = sorted({v.secret for v in settings.app.env.values() if isinstance(v, SecretReference)})
    return [
        {
            "name": DATABASE_RESOURCE,
            "postgres": {
                "branch": paths.branch,
                "database": paths.database,
                "permission": "CAN_CONNECT_AND_CREATE",
            },
        },
        _secret(AUTH_RESOURCE, settings.secret_scope, AUTH_SECRET),
        *(_secret(secret_resource(key), settings.secret_scope, key) for key in keys),
    ]


def _secret(name: str, scope: str, key: str) -> dict[str, Any]:
    return {"name": name, "secret": {"scope": scope, "key": key, "permission": "READ"}}
