"""What a kind of database provides: from settings to the app's resource, variables, databricks.yml and access list."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from metamcp_deploy.config import database as config
from metamcp_deploy.config.database import AnyDatabase
from metamcp_deploy.target.access_lists import AccessList
from metamcp_deploy.target.variables import EnvVar, secret_resource

if TYPE_CHECKING:
    from metamcp_deploy.errors import DeployError
    from metamcp_deploy.workspace import Workspace

CONNECTING = {"permission": "CAN_CONNECT_AND_CREATE"}  # what the app may do with its database


@dataclass(frozen=True)
class Trouble:
    """A failure of the knowledge base (`where`, `id`) that an answer of the workspace shows, in a sentence."""

    where: str
    id: str
    said: str
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Database(ABC):
    """A database of a target, or of an app.

    Attributes:
        kind: as `database.kind` says it.
        section: the name under which databricks.yml's template gets what it renders; empty for nothing.
        managed: False when somebody else makes and changes it.
        permissions: grants on what holds the database.
    """

    kind: ClassVar[str]
    section: ClassVar[str] = ""
    managed: bool = True
    permissions: tuple[dict[str, str], ...] = ()

    @classmethod
    @abstractmethod
    def of_settings(cls, stated: Any, app: str) -> Self:
        """As the settings want it: `stated` is their section, of this kind, `app` the app's name."""

    @classmethod
    def of_resource(cls, resource: Mapping[str, Any]) -> Self | None:
        """As an app's resource of this kind names it; None for any other resource."""
        return None

    @property
    def identity(self) -> str:
        """Its name, unique in the workspace; empty for one outside."""
        return ""

    @property
    def holder(self) -> str:
        """The project or instance that it lies in, by its name in the ledger; empty for one outside."""
        return ""

    @property
    def shown(self) -> str:
        """For people."""
        return self.identity

    @property
    def stated(self) -> dict[str, dict[str, Any]]:
        """What the settings state of its things, each with its name: kept in records, to recognise drift."""
        return {}

    @property
    def attachment(self) -> dict[str, Any]:
        """The fields of the app's resource, besides its name; empty where the app has none."""
        return {}

    @property
    def references(self) -> dict[str, dict[str, str]]:
        """What stands in databricks.yml for the names in `attachment` where the bundle makes the database."""
        return {}

    @property
    def access_list(self) -> AccessList | None:
        """Of what holds it; None for one outside."""
        return None

    @property
    def branch_name(self) -> str | None:
        """The branch that it is on, where branches of its past can be made; None for other kinds."""
        return None

    @property
    def endpoint_name(self) -> str:
        """The endpoint of each branch."""
        return config.DEFAULT_ENDPOINT

    def on_branch(self, branch: str) -> Self:
        """The same database on another branch; itself for kinds without branches."""
        return self

    def credential(self) -> list[EnvVar]:
        """The variables by which the launcher gets a credential, unless a password is stored."""
        return []

    def variables(self, stated: AnyDatabase) -> list[EnvVar]:
        """How the launcher gets to the database, besides the PG names that a resource injects."""
        made = self.credential()
        if stated.password is not None:
            made = [EnvVar("PGPASSWORD", value_from=secret_resource(stated.password.secret))]
        if principal := stated.login:
            # Names of our own: the platform's DATABRICKS_CLIENT_ID and _SECRET stay the app's.
            key = principal.client_secret.secret
            made.append(EnvVar("METAMCP_DATABASE_CLIENT_ID", value=principal.client_id))
            made.append(EnvVar("METAMCP_DATABASE_CLIENT_SECRET", value_from=secret_resource(key)))
        return made

    def rendered(self) -> Any:
        """What the template gets under `section`, where the bundle makes the database."""
        return None

    def extended(self, added: Mapping[str, Mapping[str, Any]]) -> Self:
        """With what a user's template adds: group of databricks.yml → fields of the one thing in it."""
        return self

    def hindrance(self, workspace: Workspace) -> DeployError | None:
        """Why its holder, which does not exist, cannot be made; None where nothing is known of that."""
        return None

    def find(self, workspace: Workspace) -> dict[str, Any] | None:
        """What the workspace says of the holder; None when there is none."""
        return None

    def hindrances(self, workspace: Workspace) -> Iterator[Trouble]:
        """What keeps the app from its database, by what the workspace says of it; none for one outside."""
        return iter(())
