"""Any other Postgres: nothing of it is in the workspace but the secret with its URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from metamcp_deploy.config import database as config
from metamcp_deploy.target.databases.base import Database
from metamcp_deploy.target.variables import EnvVar, secret_resource


@dataclass(frozen=True, kw_only=True)
class External(Database):
    """A database that is never made or changed."""

    kind: ClassVar[str] = "external"
    managed: bool = False

    @classmethod
    def of_settings(cls, stated: config.External, app: str) -> Self:
        """Its address is in a secret."""
        return cls()

    def variables(self, stated: config.AnyDatabase) -> list[EnvVar]:
        """The URL, and a password where it is stored apart."""
        url = stated.references["url"]
        named = [EnvVar("DATABASE_URL", value_from=secret_resource(url.secret))] if url else []
        return [*named, *super().variables(stated)]
