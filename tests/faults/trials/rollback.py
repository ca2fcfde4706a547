"""`rollback --to-database` while clients write: what is said, and where each acknowledged write is afterwards."""

from __future__ import annotations

import threading
import time
from typing import Any

import requests

from tests.faults.trials.bench import Bench, say
from tests.faults.trials.migrations import longer
from tests.faults.trials.scratch import token, url
from tests.live.gateway import Gateway

WRITERS = 6


class Writer(threading.Thread):
    """Writes through the app all the time; `acknowledged` are the names that were answered with 200."""

    def __init__(self, number: int, gateway: Gateway, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number, self.gateway, self.stop = number, gateway, stop
        self.acknowledged: list[tuple[float, str]] = []
        self.refused: list[tuple[float, int]] = []

    def run(self) -> None:
        count = 0
        while not self.stop.is_set():
            name = f"w{self.number}-{count}"
            try:
                answer = self.gateway.session.post(
                    f"{self.gateway.url}/trpc/frontend.apiKeys.create", json={"name": name}, timeout=30
                )
                status = answer.status_code
            except requests.RequestException:
                status = 0
            at = time.time()
            if status == 200:
                self.acknowledged.append((at, name))
            else:
                self.refused.append((at, status))
                time.sleep(0.1)
            count += 1


def run(bench: Bench) -> None:
    clone = bench.sample()
    bench.hold(bench.tool("deploy", "-t", "local").code == 0, "the first deployment failed")
    at = url(bench)
    gateway = Gateway(at, token(bench)["Authorization"].split()[1])
    gateway.sign_up()
    gateway.trpc("apiKeys.create", name="before")
    time.sleep(2)
    longer(bench, clone)
    bench.hold(
        bench.tool("deploy", "-t", "local", METAMCP_REF="sample-v2").code == 0, "the second deployment failed"
    )
    gateway = Gateway(at, token(bench)["Authorization"].split()[1])
    gateway.enter()
    stop = threading.Event()
    writers = [Writer(n, gateway, stop) for n in range(WRITERS)]
    for writer in writers:
        writer.start()
    time.sleep(3)
    plain = bench.tool("rollback", "-t", "local")
    bench.hold(plain.error.get("code") == "schema_moved", "a rollback without a choice went on")
    planned = bench.tool("rollback", "-t", "local", "--to-database", "--plan")
    say(f"plan: {planned.out[:1500]}")
    began = time.time()
    done = bench.tool("rollback", "-t", "local", "--to-database")
    ended = time.time()
    say(f"said: {done.err[-1200:]}")
    bench.hold(done.code == 0, f"rollback: {done.error}")
    time.sleep(2)
    stop.set()
    for writer in writers:
        writer.join(60)
    report(bench, writers, began, ended, done.document)


def names(bench: Bench, database: str) -> set[str]:
    import psycopg

    with psycopg.connect(database, autocommit=True) as connection:
        return {str(row[0]) for row in connection.execute("SELECT name FROM metamcp_app.api_keys")}


def report(bench: Bench, writers: list[Writer], began: float, ended: float, document: dict[str, Any]) -> None:
    import json

    uris = [w for w in json.dumps(bench.status()).replace('"', " ").split() if w.startswith("postgresql://")]
    held: dict[str, set[str]] = {}
    for uri in uris:
        try:
            held[uri.rsplit("/", 1)[-1]] = names(bench, uri)
        except Exception as e:
            say(f"{uri.rsplit('/', 1)[-1]}: {type(e).__name__}")
    say(f"restored: {document.get('restored')}")
    say(f"databases: { {name: len(found) for name, found in held.items()} }")
    everything = set().union(*held.values()) if held else set()
    acknowledged = [(at, name) for writer in writers for at, name in writer.acknowledged]
    lost = [(at, name) for at, name in acknowledged if name not in everything]
    during = [name for at, name in acknowledged if began <= at <= ended]
    away = sorted({status for writer in writers for _, status in writer.refused})
    times = [at for writer in writers for at, _ in writer.refused]
    say(
        f"{len(acknowledged)} acknowledged, {len(during)} of them while the rollback ran, {len(lost)} lost; "
        f"refused {len(times)} times with {away}, over {max(times) - min(times) if times else 0:.1f} s"
    )
    bench.hold(not lost, f"acknowledged writes are nowhere: {lost[:5]}")
