"""An app's resources: what they must look like, what they grant its principal, and what they put in its environment."""

from __future__ import annotations

from typing import Any

from metamcp_deploy.local.api.errors import ApiError, invalid
from metamcp_deploy.local.context import Context
from metamcp_deploy.local.lakebase.doors import of_instance


class Attachments:
    """The resources of kind `postgres`, `database` and `secret`."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def check(self, spec: dict[str, Any]) -> None:
        """Whether all resources of a spec name what exists.

        Raises:
            ApiError: 400 for wrong names, 404 for what does not exist, 501 for kinds that are not imitated.
        """
        seen = set()
        for resource in spec.get("resources") or []:
            name = str(resource.get("name") or "")
            if not name or name in seen:
                raise invalid(f"App resource name {name!r} is missing or used twice.")
            seen.add(name)
            if "postgres" in resource:
                self.context.databases.attachment(resource["postgres"])
            elif "database" in resource:
                await self.context.instances.attachment(resource["database"])
            elif "secret" in resource:
                self._check_secret(resource["secret"])
            else:
                kind = next((k for k in resource if k not in ("name", "description")), "nothing")
                raise ApiError(
                    501,
                    "NOT_IMPLEMENTED",
                    f"The embedded workspace does not imitate app resources of kind {kind}.",
                )

    def _check_secret(self, wanted: dict[str, Any]) -> None:
        self.context.secrets.value(str(wanted.get("scope")), str(wanted.get("key")))
        if wanted.get("permission") not in ("READ", "WRITE", "MANAGE"):
            raise invalid("A secret resource needs the permission READ, WRITE or MANAGE.")

    async def apply(self, record: dict[str, Any], before: dict[str, Any] | None = None) -> None:
        """Gives the app's principal what its resources say, and takes away what those of `before` said."""
        lakebase, principal = self.context.databases.lakebase, record["principal"]["client_id"]
        wanted = self._databases(record["spec"])
        for physical in self._databases(before or {}) - wanted:
            await lakebase.catalog.revoke(principal, physical)
        if wanted:
            await lakebase.catalog.ensure_role(principal)
        for physical in wanted:
            await lakebase.catalog.grant(principal, physical)
        for resource in _of(record["spec"], "secret"):
            self.context.secrets.grant(
                resource["secret"]["scope"], principal, resource["secret"]["permission"]
            )

    async def withdraw(self, record: dict[str, Any]) -> None:
        """Takes everything back. What the role owns stays: a new app of that name is another principal."""
        for physical in self._databases(record["spec"]):
            await self.context.databases.lakebase.catalog.revoke(record["principal"]["client_id"], physical)

    def _databases(self, spec: dict[str, Any]) -> set[str]:
        found = set()
        for resource in _of(spec, "postgres"):
            try:
                found.add(self.context.databases.attachment(resource["postgres"])["physical"])
            except ApiError:
                continue  # the database is gone
        attached = [r["database"] for r in _of(spec, "database")]
        here = (d for d in attached if d["instance_name"] in self.context.instances.records)
        return found | {self.context.instances.physical(d) for d in here}

    async def environment(self, record: dict[str, Any]) -> dict[str, str]:
        """PG* of the first database among the resources (further ones get none, as on the platform); no password."""
        lakebase = self.context.databases.lakebase
        for resource in _of(record["spec"], "postgres", "database")[:1]:
            trust = lakebase.ca_file
            place, database = self._place(resource)
            return {
                "PGAPPNAME": record["name"],
                "PGHOST": lakebase.host,
                "PGPORT": str(await self.context.doors.port(place)),
                "PGDATABASE": database,
                "PGUSER": record["principal"]["client_id"],
                "PGSSLMODE": lakebase.sslmode,
                # The platform's certificate is publicly trusted; the one here is made so for Node.
                **({"NODE_EXTRA_CA_CERTS": str(trust)} if trust else {}),
            }
        return {}

    def _place(self, resource: dict[str, Any]) -> tuple[str, str]:
        """The endpoint or instance of a resource, and what its database is called there."""
        if attached := resource.get("database"):
            self.context.instances.record(attached["instance_name"])
            return of_instance(attached["instance_name"]), str(attached["database_name"])
        databases, attached = self.context.databases, resource["postgres"]
        return databases.endpoint_of(attached["branch"]), databases.attachment(attached)["postgres_database"]

    def values(self, record: dict[str, Any]) -> dict[str, str]:
        """What `valueFrom` each resource gives, by the resource's name."""
        databases, secrets = self.context.databases, self.context.secrets
        values = {
            r["name"]: databases.endpoint_of(r["postgres"]["branch"]) for r in _of(record["spec"], "postgres")
        }
        for resource in _of(record["spec"], "database"):
            values[resource["name"]] = databases.lakebase.host
        for resource in _of(record["spec"], "secret"):
            secret = resource["secret"]
            values[resource["name"]] = secrets.value(secret["scope"], secret["key"])
        return values


def _of(spec: dict[str, Any], *kinds: str) -> list[dict[str, Any]]:
    return [r for r in spec.get("resources") or [] if any(kind in r for kind in kinds)]
