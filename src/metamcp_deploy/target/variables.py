"""How an app's variables and resources are spelled in the deploy call and in databricks.yml."""

from __future__ import annotations

from dataclasses import dataclass

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


def secret_resource(key: str) -> str:
    """The app resource's name for a key of the secret scope: `OIDC_CLIENT_SECRET` → `secret-oidc-client-secret`."""
    return "secret-" + key.lower().replace("_", "-").replace(".", "-")
