"""Failures inside the app's database: by SQL, as somebody would bring them about."""

from __future__ import annotations

import threading

import psycopg
import requests

from tests.doctor.provoking.case import case
from tests.doctor.provoking.platform import without_database
from tests.doctor.provoking.scene import SCHEMA, Scene, until

SOMEBODY = "developer@example.com"
_BACK = "GRANT ALL ON SCHEMA {schema} TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}"


@case("login-no-database")
def database_renamed(scene: Scene) -> None:
    """As dropped: the server says the same."""
    there, away = scene.physical, f"{scene.physical}_away"
    scene.later(scene.restart)
    scene.later(lambda: scene.sql(f'ALTER DATABASE "{away}" RENAME TO "{there}"', "postgres"))
    scene.sql(f"UPDATE pg_database SET datallowconn = false WHERE datname = '{there}'", "postgres")
    scene.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{there}'", "postgres")
    scene.sql(f'ALTER DATABASE "{there}" RENAME TO "{away}"', "postgres")
    scene.sql(f"UPDATE pg_database SET datallowconn = true WHERE datname = '{away}'", "postgres")


@case("role-missing")
def role_renamed(scene: Scene) -> None:
    """As dropped: a role that owns objects cannot be."""
    scene.later(lambda: scene.sql(f'ALTER ROLE "{scene.role}-away" RENAME TO "{scene.role}"'))
    scene.sql(f'ALTER ROLE {{role}} RENAME TO "{scene.role}-away"')
    scene.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{scene.role}-away'")


@case("role-missing")
def role_may_not_log_in(scene: Scene) -> None:
    scene.later(lambda: scene.sql("ALTER ROLE {role} LOGIN"))
    scene.sql("ALTER ROLE {role} NOLOGIN")
    scene.disconnect()


@case("database-connect-denied", heals=True, by_hand=without_database)
def connect_revoked(scene: Scene) -> None:
    scene.later(lambda: scene.sql("GRANT CONNECT, CREATE ON DATABASE {database} TO {role}"))
    scene.sql(
        "REVOKE CONNECT ON DATABASE {database} FROM {role}; REVOKE CONNECT ON DATABASE {database} FROM PUBLIC"
    )
    scene.disconnect()


@case("create-schema-denied", heals=True, by_hand=without_database)
def create_revoked_and_schema_dropped(scene: Scene) -> None:
    scene.later(scene.restart)
    scene.later(lambda: scene.sql("GRANT CREATE ON DATABASE {database} TO {role}"))
    scene.sql("REVOKE CREATE ON DATABASE {database} FROM {role}; DROP SCHEMA {schema} CASCADE")


@case("schema-gone", heals=True)
def schema_dropped(scene: Scene) -> None:
    scene.later(scene.restart)
    scene.sql("DROP SCHEMA {schema} CASCADE")


@case("table-denied")
def table_rights_revoked(scene: Scene) -> None:
    scene.later(lambda: scene.sql(_BACK))
    scene.sql("REVOKE ALL ON {schema}.endpoints FROM {role}")


@case("table-denied")
def schema_rights_revoked(scene: Scene) -> None:
    scene.later(lambda: scene.sql(_BACK))
    scene.sql("REVOKE ALL ON SCHEMA {schema} FROM {role}")


@case("schema-foreign")
def tables_of_another_role(scene: Scene) -> None:
    """The app has its rights, and its next migration fails."""
    scene.later(lambda: scene.sql("ALTER TABLE {schema}.endpoints OWNER TO {role}"))
    scene.sql(
        f'ALTER TABLE {{schema}}.endpoints OWNER TO "{SOMEBODY}"; GRANT ALL ON {{schema}}.endpoints TO {{role}}'
    )


@case("schema-foreign")
def tables_of_another_role_without_rights(scene: Scene) -> None:
    scene.later(lambda: scene.sql("ALTER TABLE {schema}.endpoints OWNER TO {role}"))
    scene.sql(f'ALTER TABLE {{schema}}.endpoints OWNER TO "{SOMEBODY}"')


@case("migration-missing")
def table_dropped(scene: Scene) -> None:
    scene.later(lambda: fresh(scene))
    scene.sql("DROP TABLE {schema}.endpoints CASCADE")


@case("schema-unknown")
def ledger_dropped(scene: Scene) -> None:
    scene.later(lambda: scene.sql("ALTER TABLE {schema}.moved RENAME TO __drizzle_migrations"))
    scene.later(lambda: scene.sql(f"ALTER TABLE public.moved SET SCHEMA {SCHEMA}"))
    scene.sql(
        "ALTER TABLE {schema}.__drizzle_migrations RENAME TO moved; ALTER TABLE {schema}.moved SET SCHEMA public"
    )


@case("ledger-diverged")
def ledger_of_another_release(scene: Scene) -> None:
    """It knows a migration between two of this one."""
    table = "{schema}.__drizzle_migrations"
    scene.later(lambda: scene.sql(f"DELETE FROM {table} WHERE hash = 'another'"))
    scene.sql(f"INSERT INTO {table} (hash, created_at) SELECT 'another', max(created_at) - 1 FROM {table}")


@case("migration-skipped")
def migration_skipped(scene: Scene) -> None:
    """A row in the middle is missing, so that this migration was passed over."""
    table = "{schema}.__drizzle_migrations"
    middle = f"(SELECT id FROM {table} ORDER BY created_at OFFSET 3 LIMIT 1)"
    ((id_, hash_, at),) = scene.sql(f"SELECT id, hash, created_at FROM {table} WHERE id = {middle}")
    scene.later(lambda: scene.sql(f"INSERT INTO {table} VALUES ({id_}, '{hash_}', {at})"))
    scene.sql(f"DELETE FROM {table} WHERE id = {id_}")


@case("read-only")
def read_only(scene: Scene) -> None:
    scene.later(scene.disconnect)
    scene.later(
        lambda: scene.sql("ALTER DATABASE {database} RESET default_transaction_read_only", "postgres")
    )
    scene.sql("ALTER DATABASE {database} SET default_transaction_read_only = on")
    scene.disconnect()


@case("too-many-connections")
def role_without_connections(scene: Scene) -> None:
    scene.later(lambda: scene.sql("ALTER ROLE {role} CONNECTION LIMIT -1"))
    scene.sql("ALTER ROLE {role} CONNECTION LIMIT 0")
    scene.disconnect()


@case("too-many-connections")
def role_with_one_connection(scene: Scene) -> None:
    scene.later(lambda: scene.sql("ALTER ROLE {role} CONNECTION LIMIT -1"))
    scene.sql("ALTER ROLE {role} CONNECTION LIMIT 1")
    scene.disconnect()
    ask(scene, 4)


@case("too-many-connections")
def database_without_connections(scene: Scene) -> None:
    scene.later(lambda: scene.sql("ALTER DATABASE {database} CONNECTION LIMIT -1"))
    scene.sql("ALTER DATABASE {database} CONNECTION LIMIT 0")
    scene.disconnect()


@case("locks-held")
def lock_in_an_open_transaction(scene: Scene) -> None:
    holder = psycopg.connect(scene.uris()[scene.physical])
    scene.later(holder.close)
    holder.execute(f"LOCK TABLE {SCHEMA}.endpoints")
    threads = ask(scene, 3)
    scene.later(lambda: joined(threads))
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND now() - state_change > interval '5 s'"
    until(lambda: scene.sql(waiting))


@case("migrations-locked")
def lock_of_the_migrations_held(scene: Scene) -> None:
    holder = psycopg.connect(scene.uris()[scene.physical])
    scene.later(holder.close)
    holder.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (f"metamcp-deploy migrate {SCHEMA}",))
    scene.restart()
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND now() - state_change > interval '5 s'"
    until(lambda: scene.sql(waiting))


def ask(scene: Scene, times: int) -> list[threading.Thread]:
    """Requests that need the database, at once."""

    def request() -> None:
        try:
            scene.get("/metamcp", timeout=30)
        except requests.exceptions.RequestException:
            return

    threads = [threading.Thread(target=request, daemon=True) for _ in range(times)]
    for thread in threads:
        thread.start()
    return threads


def joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(40)


def fresh(scene: Scene) -> None:
    """An empty schema, which the next start fills."""
    scene.sql("DROP SCHEMA {schema} CASCADE")
    scene.restart()
