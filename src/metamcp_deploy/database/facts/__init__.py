"""Facts of a database, each read by one or two statements over catalogues; none of them changes anything.

A statement that takes too long, and what a login may not read, is a `DeployError` (`asking`), or a field that says so.
"""

from metamcp_deploy.database.facts.activity import Activity, Held, Lock, Session, activity, held
from metamcp_deploy.database.facts.identity import Identity, identity
from metamcp_deploy.database.facts.migrations import Applied, Migrations, migrations
from metamcp_deploy.database.facts.schema import Owned, Schema, schema
from metamcp_deploy.database.facts.settings import Settings, settings
from metamcp_deploy.database.facts.storage import Storage, Table, storage

__all__ = [
    "Activity",
    "Applied",
    "Held",
    "Identity",
    "Lock",
    "Migrations",
    "Owned",
    "Schema",
    "Session",
    "Settings",
    "Storage",
    "Table",
    "activity",
    "held",
    "identity",
    "migrations",
    "schema",
    "settings",
    "storage",
]
