"""Recorded texts of known failures lead to the cause that an operator is shown."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy.resources import shipped
from tests.launcher.launcher_app import LAUNCHER, write_diagnoses

# code, text, a word of the fix
CASES = [
    (
        "schema_forbidden",
        "42501: permission denied for schema public",
        "atch, build and deploy again: metamcp-deploy deploy --clean",
    ),
    ("schema_forbidden", "42501: permission denied for database metamcp_app", "bundle-deploy"),
    ("schema_forbidden", "42501: must be owner of table endpoints", "ALTER TABLE … OWNER TO"),
    ("schema_forbidden", "42501: permission denied for table endpoints", "ALTER TABLE … OWNER TO"),
    ("schema_unknown", '42710: type "mcp_server_status" already exists', "database.schema"),
    ("schema_foreign", "Objects belong to somebody", "statements in the message"),
    ("migration_failed", '42P01: relation "metamcp_app.config" does not exist', "_journal.json"),
    (
        "login_refused",
        '28P01: password authentication failed for user "a"',
        "attaches the database again: metamcp-deploy bundle-deploy",
    ),
    ("login_refused", '28000: role "a" does not exist', "makes the role"),
    ("database_unreachable", "ECONNREFUSED: connect ECONNREFUSED 10.0.0.1:5432", "Lakebase endpoint"),
    ("database_unreachable", "no pg_hba.conf entry for host, no encryption", "require"),
    ("database_unreachable", "The server does not support SSL connections", "sslmode=disable"),
    (
        "database_unreachable",
        "SELF_SIGNED: self-signed certificate in certificate chain",
        "network.ca_bundle",
    ),
    ("database_read_only", "25006: cannot execute INSERT in a read-only transaction", "read-write endpoint"),
    ("database_full", "53100: could not extend file", "limit"),
    ("database_busy", "53300: too many connections for role", "pg_stat_activity"),
    ("migrator_broken", "Unexpected end of JSON input", "build --clean"),
    ("unpack_failed", "EMFILE: too many open files", "stop and start"),
    ("workspace_unreachable", "timed out", "egress"),
    ("pghost_missing", "PGHOST not set", "metamcp-deploy deploy"),
    (
        "credential_missing",
        "The workspace answered without a database credential.",
        "look at the workspace's status",
    ),
    ("backend_died", "FATAL ERROR: Reached heap limit JavaScript heap out of memory", "app.compute_size"),
    ("backend_memory", "The backend uses 2.8 GB of memory, of a share of 3.0 GB.", "app.compute_size"),
    ("backend_died", "The backend ended with exit code 3.", "Look at its last lines"),
    ("unheard_of", "Something else.", None),
]
# Every failure of a start or a service that has a code, by the sources that make them.
CODED = re.compile(r'(?:new Failure|new Refused|badUrl|refusal)\(\s*(?:[\w.]+|"\w+"),\s*"([a-z_]+)"')
REFUSED = re.compile(r'(?:Refused\(|\[)\s*"([a-z]+_[a-z_]+)",')
MADE = {  # names that the sources put together
    *(
        "disk_full",
        "unpack_failed",
        "part_damaged",
        "workspace_unreachable",
        "credential_refused",
        "token_refused",
    ),
    *("migrate_died", "migrate_silent", "pghost_missing", "pgdatabase_missing", "pguser_missing"),
    *("backend_died", "backend_silent", "backend_memory"),
    *("frontend_died", "frontend_silent", "frontend_memory", "frontend_hung", "service_broke_off"),
}


def codes() -> set[str]:
    launcher = "\n".join(path.read_text() for path in LAUNCHER.rglob("*.mjs"))
    migrator = "\n".join(path.read_text() for path in (shipped("overrides") / "apps").rglob("*.ts"))
    found = {*CODED.findall(launcher), *REFUSED.findall(migrator), *MADE} - {"stopping"}
    assert len(found) > 35, found
    return found


ASK = """
import { readFileSync } from "node:fs";
const { diagnose } = await import(process.argv[1]);
const cases = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(([code, text]) => diagnose({ code, message: "It failed.", detail: text }))));
"""


@pytest.fixture(scope="module")
def known(node: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    module = write_diagnoses(tmp_path_factory.mktemp("launcher"))
    asked = [*((case[0], case[1]) for case in CASES), *((code, "") for code in sorted(codes()))]
    argv = [node, "--input-type=module", "-e", ASK, module.as_uri()]
    done = subprocess.run(argv, input=json.dumps(asked), capture_output=True, text=True, check=True)
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: f"{CASES[n][0]}-{n}")
def test_the_cause_is_known(known: list[Any], number: int) -> None:
    fix, found = CASES[number][2], known[number]
    if fix is None:
        assert found is None
    else:
        assert fix in found["fix"]
        assert found["cause"]


def test_every_code_has_a_cause_and_a_fix(known: list[Any]) -> None:
    found = dict(zip(sorted(codes()), known[len(CASES) :], strict=True))
    assert [code for code, entry in found.items() if entry is None] == []
