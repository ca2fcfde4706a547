"""A database of Lakebase autoscaling, the newer kind: a project with branches, endpoints and databases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from metamcp_deploy.config import database as config
from metamcp_deploy.target.access_lists import AccessList, spelled
from metamcp_deploy.target.databases.base import CONNECTING, Database, Trouble
from metamcp_deploy.target.rendering import block, granted
from metamcp_deploy.target.variables import DATABASE_RESOURCE, EnvVar

if TYPE_CHECKING:
    from metamcp_deploy.errors import DeployError
    from metamcp_deploy.workspace import Workspace

OWNER_ROLE = "metamcp-owner"  # of a branch: owns databases, and nobody logs in as it
SUSPENSION = frozenset({"no_suspension", "suspend_timeout_duration"})
ENDPOINT_TYPE = "ENDPOINT_TYPE_READ_WRITE"


@dataclass(frozen=True, kw_only=True)
class Autoscaling(Database):
    """Names are whole (`projects/P/branches/B`).

    The database's id cannot hold an underscore (ids are DNS names), its Postgres name can.

    Attributes:
        postgres_name: what Postgres calls the database.
        project_spec: of a project that is made.
        branch_spec: fields of the branch that the settings state.
        endpoint_spec: fields of the endpoint that the settings state.
        first_endpoint: size and suspension of the endpoint that comes with a project that is made: those, or defaults.
        held: fields of the project that the settings state: changed where they differ, also on an existing project.
        principal: client id of a service principal that logs in in place of the app's own.
    """

    kind: ClassVar[str] = "autoscaling"
    section: ClassVar[str] = "lakebase"
    project: str
    branch: str
    endpoint: str
    database: str
    postgres_name: str = ""
    project_spec: Mapping[str, Any] = field(default_factory=dict)
    branch_spec: Mapping[str, Any] = field(default_factory=dict)
    endpoint_spec: Mapping[str, Any] = field(default_factory=dict)
    first_endpoint: Mapping[str, Any] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    principal: str | None = None

    @classmethod
    def of_settings(cls, stated: config.Autoscaling, app: str) -> Self:
        """As the settings want it."""
        d, project = stated, f"projects/{stated.project_id(app)}"
        branch = f"{project}/branches/{d.branch}"
        days = d.history_days or config.NEW_HISTORY_DAYS
        sizes = {
            "autoscaling_limit_min_cu": d.min_cu or config.NEW_MIN_CU,
            "autoscaling_limit_max_cu": d.max_cu or config.NEW_MAX_CU,
            **suspension(d.suspend_after or config.NEW_SUSPEND_AFTER),
        }
        enforced = _enforced(d)
        return cls(
            managed=d.managed,
            project=project,
            branch=branch,
            endpoint=f"{branch}/endpoints/{d.endpoint}",
            database=f"{branch}/databases/{d.database_name.replace('_', '-')}",
            postgres_name=d.database_name,
            project_spec={
                "display_name": d.project_id(app),
                "history_retention_duration": f"{days * 86_400}s",
                "default_endpoint_settings": sizes,
                **enforced,
                **({"pg_version": d.pg_version} if d.pg_version else {}),
            },
            branch_spec={} if d.protect_branch is None else {"is_protected": d.protect_branch},
            first_endpoint=sizes,
            endpoint_spec={
                **({"autoscaling_limit_min_cu": d.min_cu} if d.min_cu else {}),
                **({"autoscaling_limit_max_cu": d.max_cu} if d.max_cu else {}),
                **(suspension(d.suspend_after) if d.suspend_after else {}),
            },
            held=frozenset({*enforced, *(["history_retention_duration"] if d.history_days else ())}),
            permissions=spelled(d.permissions),
            principal=d.principal.client_id if d.principal else None,
        )

    @classmethod
    def of_resource(cls, resource: Mapping[str, Any]) -> Self | None:
        """A resource names branch and database; the endpoint is the one that every branch has."""
        if not (named := resource.get("postgres")):
            return None
        database = str(named.get("database", ""))
        branch = str(named.get("branch") or database.partition("/databases/")[0])
        project = branch.partition("/branches/")[0]
        return cls(
            project=project,
            branch=branch,
            endpoint=f"{branch}/endpoints/{config.DEFAULT_ENDPOINT}",
            database=database,
        )

    @property
    def identity(self) -> str:
        """The database's whole name."""
        return self.database

    @property
    def holder(self) -> str:
        """The project."""
        return self.project

    @property
    def stated(self) -> dict[str, dict[str, Any]]:
        """Of project and endpoint."""
        project = {field: self.project_spec[field] for field in sorted(self.held)}
        branch = {"branch": {"name": self.branch, **self.branch_spec}} if self.branch_spec else {}
        return {
            "project": {"name": self.project, **project},
            **branch,
            "endpoint": {"name": self.endpoint, **self.endpoint_spec},
        }

    @property
    def role(self) -> tuple[str, dict[str, str]] | None:
        """Id and spec of the role that `principal` logs in with; None where the app's own does.

        An id begins with a letter, which a client id need not.
        """
        if self.principal is None:
            return None
        login = {"identity_type": "SERVICE_PRINCIPAL", "auth_method": "LAKEBASE_OAUTH_V1"}
        return f"sp-{self.principal.lower()}"[:63], {"postgres_role": self.principal, **login}

    @property
    def attachment(self) -> dict[str, Any]:
        """A resource `postgres`."""
        return {"postgres": {"branch": self.branch, "database": self.database, **CONNECTING}}

    @property
    def references(self) -> dict[str, dict[str, str]]:
        """References to what the bundle makes: only they order its deployment."""
        branch, database = "postgres_branches.database.id", "postgres_databases.database.id"
        return {"postgres": {"branch": f"${{resources.{branch}}}", "database": f"${{resources.{database}}}"}}

    @property
    def access_list(self) -> AccessList:
        """Of the project."""
        name = self.project.removeprefix("projects/")
        return AccessList("database-projects", "Lakebase project", name, self.managed, self.permissions)

    @property
    def branch_name(self) -> str:
        """The branch."""
        return self.branch

    @property
    def endpoint_name(self) -> str:
        """As the settings want it."""
        return _id(self.endpoint)

    def on_branch(self, branch: str) -> Self:
        """The database of the same id on another branch."""
        return replace(self, branch=branch, database=f"{branch}/databases/{_id(self.database)}")

    def credential(self) -> list[EnvVar]:
        """The endpoint's path, which the app's resource injects."""
        return [EnvVar("LAKEBASE_ENDPOINT", value_from=DATABASE_RESOURCE)]

    def rendered(self) -> dict[str, Any]:
        """Ids, the database's name, and blocks of YAML.

        The role owns the database: the one that logs in where the settings name it, else one that never does.
        """
        role_id, role = self.role or (OWNER_ROLE, {"postgres_role": OWNER_ROLE.replace("-", "_")})
        return {
            "project_id": _id(self.project),
            "project": block({**self.project_spec, **granted(self.permissions)}),
            "branch_id": _id(self.branch),
            "branch": block(dict(self.branch_spec)),
            "endpoint_id": _id(self.endpoint),
            "endpoint": block({"endpoint_type": ENDPOINT_TYPE, **self.endpoint_spec}),
            "role": block({"role_id": role_id, **role}),
            "database_id": _id(self.database),
            "database": self.postgres_name,
        }

    def extended(self, added: Mapping[str, Mapping[str, Any]]) -> Self:
        """Permissions and further fields of the project, and fields of the endpoint."""
        project = dict(added.get("postgres_projects", {}))
        permissions = (*self.permissions, *project.pop("permissions", ()))
        defaults = {**self.project_spec["default_endpoint_settings"]}
        defaults |= project.pop("default_endpoint_settings", {})
        if more := project.pop("custom_tags", ()):
            project["custom_tags"] = [*self.project_spec.get("custom_tags", ()), *more]
        return replace(
            self,
            project_spec={**self.project_spec, "default_endpoint_settings": defaults, **project},
            endpoint_spec={**self.endpoint_spec, **added.get("postgres_endpoints", {})},
            permissions=permissions,
        )

    def hindrance(self, workspace: Workspace) -> DeployError | None:
        """The id of a deleted project is reserved."""
        from metamcp_deploy.workspace.lakebase import reserved

        deleted = workspace.lakebase.deleted(self.project)
        return reserved(deleted) if deleted else None

    def find(self, workspace: Workspace) -> dict[str, Any] | None:
        """The project."""
        return workspace.lakebase.find(self.project)

    def hindrances(self, workspace: Workspace) -> Iterator[Trouble]:
        """Each of project, branch, database and endpoint, from the outside in: the first that is not there."""
        labels = {self.project: "Lakebase project", self.branch: "branch", self.database: "database"}
        for name, label in (*labels.items(), (self.endpoint, "endpoint")):
            found = workspace.lakebase.find(name)
            if found is None:
                said = f"The {label} {name} does not exist"
                yield Trouble("doctor", "database-gone", said, f"GET /api/2.0/postgres/{name}: not found")
                return
        status = (found or {}).get("status") or {}
        if status.get("disabled"):
            said = f"The endpoint {self.endpoint} is disabled"
            evidence = f"GET /api/2.0/postgres/{self.endpoint}: disabled, {status.get('current_state')}"
            yield Trouble("database", "endpoint-disabled", said, evidence)


def _enforced(d: config.Autoscaling) -> dict[str, Any]:
    """Fields of the project that are sent only where they are stated."""
    stated = {"budget_policy_id": d.budget_policy_id, "custom_tags": d.custom_tags}
    return {key: value for key, value in stated.items() if value}


def _id(name: str) -> str:
    """The last part of a whole name."""
    return name.rsplit("/", 1)[1]


def suspension(after: int | str) -> dict[str, Any]:
    """The one of two fields of an endpoint that says when it is suspended: after seconds (300, `300s`) or `never`."""
    if after == "never":
        return {"no_suspension": True}
    return {"suspend_timeout_duration": f"{after}".removesuffix("s") + "s"}
