"""A real Postgres whose logins take the credentials that the fake workspace issues."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from metamcp_deploy.local.lakebase.server import Lakebase
from metamcp_deploy.postgres import Cluster
from tests.launcher.launcher_app import FakeWorkspace

DATABASE, PRINCIPAL = "metamcp_app", "00000000-0000-0000-0000-00000000000a"


class Database(FakeWorkspace):
    """One database and the app's role, which may connect and create schemas; nothing else."""

    def __init__(self, folder: Path, *, tls: bool) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.lakebase = Lakebase(folder, tls=tls, cluster=Cluster(folder / "postgres", durable=False))
        self.wait(self.lakebase.start())
        self.wait(self.lakebase.catalog.ensure_role(PRINCIPAL))
        self.fresh()

    def fresh(self) -> None:
        """Makes the database anew."""
        self.wait(self.lakebase.catalog.drop_database(DATABASE))
        self.wait(self.lakebase.catalog.create_database(DATABASE))
        self.wait(self.lakebase.catalog.grant(PRINCIPAL, DATABASE))

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def password(self) -> str:
        return self.lakebase.issue_credential(PRINCIPAL, self.ttl).token.reveal()

    def usual(self, path: str) -> Any:
        if not path.endswith("/credentials"):
            return super().usual(path)
        token, expires = self.lakebase.issue_credential(PRINCIPAL, self.ttl)
        self.issued.append(token.reveal())
        return {"token": token.reveal(), "expire_time": datetime.fromtimestamp(expires, UTC).isoformat()}

    @property
    def env(self) -> dict[str, str]:
        """What the platform injects for the database resource."""
        given = {
            "DATABRICKS_HOST": self.url,
            "DATABRICKS_CLIENT_ID": PRINCIPAL,
            "PGHOST": self.lakebase.host,
            "PGPORT": str(self.lakebase.port),
            "PGDATABASE": DATABASE,
            "PGUSER": PRINCIPAL,
            "PGSSLMODE": self.lakebase.sslmode,
        }
        if self.lakebase.ca_file:
            given["NODE_EXTRA_CA_CERTS"] = str(self.lakebase.ca_file)
        return given

    def session(self) -> psycopg.Connection[Any]:
        """A connection of the superuser, for what lasts longer than a query."""
        return psycopg.connect(self.lakebase.cluster.uri(DATABASE).reveal(), autocommit=True)

    def query(self, text: str, *, principal: bool = False) -> list[tuple[Any, ...]]:
        """Rows, as the superuser or as the app."""
        uri = self.lakebase.cluster.uri(DATABASE).reveal()
        with psycopg.connect(uri, autocommit=True) as connection:
            if principal:
                connection.execute(f'SET ROLE "{PRINCIPAL}"')
            cursor = connection.execute(text)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self.wait(self.lakebase.stop())
        self.lakebase.cluster.remove()
        self.loop.call_soon_threadsafe(self.loop.stop)
        super().close()


@contextmanager
def running(folder: Path, *, tls: bool = False) -> Iterator[Database]:
    database = Database(folder, tls=tls)
    try:
        yield database
    finally:
        database.close()
