"""`logs` from a flood, to a pipe: searching, explaining and masking, end to end, beside its parts alone.

    python -m benchmarks.logs [--lines 200000]

A server in a process of its own replays lines over the WebSocket as fast as they are taken; `logs` runs as a person
starts it, with `--grep` and `--explain` and stdout into a pipe, and its output is compared line by line with what was
sent. 1 % of the lines hold a secret, 0.1 % show a known failure. Rates depend on the machine, and on what else runs
there; `websockets alone` is the measure beside them, from the same run, and so is processor time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

SECRET = "hunter2-the-secret"
EXPECT = {"lines a second, end to end": 50_000, "lines a second, masked": 250_000, "MB of memory": 100}


def messages(count: int) -> list[str]:
    """Lines as MetaMCP prints them."""
    session = "0f8fad5b-d9cb-469f-a165-70867728950e"
    made = []
    for n in range(count):
        if n % 100 == 50:
            made.append(f"[backend] {n} connecting with password={SECRET} to host-{n % 7}.example.com")
        elif n % 1000 == 333:
            made.append(f"[backend] {n} error: password authentication failed for user {n}")
        else:
            made.append(
                f"[backend] {n} Using MetaMCP server instance for public endpoint session {session} (tools)"
            )
    return made


def _serve(ready: multiprocessing.SimpleQueue[int], count: int) -> None:
    frames = bytearray()
    for n, message in enumerate(messages(count)):
        text = json.dumps({"source": "APP", "timestamp": 1_763_700_000 + n / 1000, "message": message})
        frames += Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
    end = Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=False)
    listener = socket.create_server(("127.0.0.1", 0))
    ready.put(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        protocol = ServerProtocol()
        requests = []
        while not requests:
            protocol.receive_data(connection.recv(65536))
            requests = protocol.events_received()
        protocol.send_response(protocol.accept(requests[0]))  # type: ignore[arg-type]
        for data in protocol.data_to_send():
            connection.sendall(data)
        connection.recv(65536)  # the search
        try:
            connection.sendall(frames)
            connection.sendall(end)
            while connection.recv(65536):  # closing earlier would take back what was not read yet
                pass
        except OSError:
            pass
        connection.close()


class _Host(BaseHTTPRequestHandler):
    """As much of a workspace as `logs` asks for."""

    url = ""

    def _answer(self, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        here = f"http://{self.headers['Host']}"
        if self.path.startswith("/.well-known"):
            return self._answer({"oidc_endpoint": f"{here}/oidc"})
        if self.path.startswith("/oidc"):
            return self._answer(
                {"authorization_endpoint": f"{here}/a", "token_endpoint": f"{here}/oidc/v1/token"}
            )
        return self._answer({"name": "xx", "url": self.url, "compute_status": {"state": "ACTIVE"}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer({"access_token": "t", "token_type": "Bearer", "expires_in": 3600})

    def log_message(self, *words: object) -> None:
        pass


def end_to_end(port: int) -> tuple[float, float, float, list[str]]:
    """Seconds from the first line to the last, of the processor in all, the memory in MB, what was printed."""
    _Host.url = f"http://127.0.0.1:{port}"
    host = ThreadingHTTPServer(("127.0.0.1", 0), _Host)
    threading.Thread(target=host.serve_forever, daemon=True).start()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DATABRICKS_", "METAMCP_"))}
    env |= {
        "DATABRICKS_HOST": f"http://127.0.0.1:{host.server_address[1]}",
        "DATABRICKS_CLIENT_ID": "benchmark",
        "DATABRICKS_CLIENT_SECRET": "of-a-server-on-this-machine",
        "NO_PROXY": "127.0.0.1",
    }
    with tempfile.TemporaryDirectory() as folder:
        env["HOME"] = folder
        words = ["logs", "--app", "xx", "--grep", "(?i)metamcp|pass(word)?", "--explain"]
        child = subprocess.Popen(
            [sys.executable, "-m", "metamcp_deploy", *words], cwd=folder, env=env, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        first = child.stdout.readline()
        began = time.perf_counter()
        rest = child.stdout.read()
        seconds = time.perf_counter() - began
        assert child.wait() == 0
    host.shutdown()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = used.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    return (
        seconds,
        used.ru_utime + used.ru_stime,
        peak,
        [first.decode().rstrip("\n"), *rest.decode().splitlines()],
    )


def checked(shown: list[str], count: int) -> int:
    """How many explanations there are; fails when a line is missing, repeated, in another place or not masked."""
    lines = [line for line in shown if not line.startswith(" ")]
    numbers = [int(line.split("[backend] ")[1].split(" ", 1)[0]) for line in lines]
    assert numbers == list(range(count)), "a line is lost, repeated or in another place"
    assert not any(SECRET in line for line in lines)
    return sum("↳" in line for line in shown)


def alone(port: int) -> Callable[[], int]:
    """Takes all frames, and does nothing with them."""

    def take() -> int:
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect

        count = 0
        with connect(
            f"ws://127.0.0.1:{port}/logz/stream", max_size=None, max_queue=(256, 64), proxy=None
        ) as stream:
            stream.send("")
            try:
                while True:
                    stream.recv()
                    count += 1
            except ConnectionClosed:
                return count

    return take


def parts(count: int) -> dict[str, Callable[[], int]]:
    """Each part alone, on the same lines."""
    from metamcp_deploy.knowledge.recognition import recogniser
    from metamcp_deploy.linesearch import Pattern
    from metamcp_deploy.redaction import Redactor

    lines = messages(count)
    batches = [lines[n : n + 1000] for n in range(0, count, 1000)]
    pattern = Pattern("(?i)metamcp|pass(word)?")
    redactor, known = Redactor(["a value of this run"]), recogniser()
    return {
        "masked": lambda: sum(len(redactor.lines(batch)) for batch in batches),
        "searched": lambda: sum(1 for batch in batches for _ in pattern.hits(batch)),
        "explained": lambda: sum(len(list(known.entries(batch))) >= 0 for batch in batches) and count,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--lines", type=int, default=200_000)
    count = arguments.parse_args().lines
    ready: multiprocessing.SimpleQueue[int] = multiprocessing.SimpleQueue()
    server = multiprocessing.Process(target=_serve, args=(ready, count), daemon=True)
    server.start()
    port = ready.get()
    seconds, busy, peak, shown = end_to_end(port)
    explained = checked(shown, count)
    rates, of_processor = {"end to end": count / seconds}, {"end to end": count / busy}
    for name, work in {"websockets alone": alone(port), **parts(count)}.items():
        began, used = time.perf_counter(), time.process_time()
        work()
        rates[name] = count / (time.perf_counter() - began)
        of_processor[name] = count / (time.process_time() - used)
    server.terminate()
    for name, rate in rates.items():
        share, each = rate / rates["websockets alone"], of_processor[name]
        print(
            f"{name:<18} {rate:>9,.0f} lines/s, {share:.2f} of websockets alone; {each:,.0f} in a second of processor"
        )
    print(f"{'memory':<18} {peak:>12,.0f} MB")
    print(f"{count:,} lines in their order, {explained} explanations")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    reached = {
        "lines a second, end to end": rates["end to end"] >= EXPECT["lines a second, end to end"],
        "lines a second, masked": rates["masked"] >= EXPECT["lines a second, masked"],
        "MB of memory": peak < EXPECT["MB of memory"],
    }
    print("; ".join(f"{name}: {'reached' if well else 'not reached'}" for name, well in reached.items()))


if __name__ == "__main__":
    main()
