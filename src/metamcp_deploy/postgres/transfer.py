"""Takes a database from one cluster to another, with owners and grants, as pg_dump and pg_restore do."""

from __future__ import annotations

import tempfile
from pathlib import Path

from metamcp_deploy import process
from metamcp_deploy.errors import Code
from metamcp_deploy.postgres import binaries
from metamcp_deploy.postgres.cluster import Cluster


def transfer(source: Cluster, database: str, target: Cluster, name: str) -> None:
    """Puts a running cluster's database into an empty one of another (or the same), where its roles must exist.

    Raises:
        DeployError: POSTGRES_FAILED with the words of pg_dump or pg_restore; the target is as empty as before.
    """
    with tempfile.TemporaryDirectory(prefix="metamcp-pg-dump-") as folder:
        file = Path(folder, "dump")
        _run(source, "pg_dump", "--format=custom", "--compress=0", f"--file={file}", f"--dbname={database}")
        _run(target, "pg_restore", "--single-transaction", "--exit-on-error", f"--dbname={name}", file)


def _run(cluster: Cluster, program: str, *words: str | Path) -> None:
    login = {
        "PGHOST": str(cluster.socket_folder),
        "PGUSER": binaries.SUPERUSER,
        "PGPASSWORD": cluster.password().reveal(),
    }
    process.run(
        [binaries.installed() / "bin" / program, *words],
        env={**binaries.ENVIRONMENT, **login},
        code=Code.POSTGRES_FAILED,
        hint=f"Look at the output below and in {cluster.log}.",
    )
