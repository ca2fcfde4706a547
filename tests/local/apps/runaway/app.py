"""Starts children that try to outlive it, and answers with everybody's process ids.

A plain one, a detached one, one whose father has gone, one without any environment, all of them deaf to SIGTERM.
"""

import http.server
import json
import os
import signal
import subprocess
import sys

SLEEP = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""
FATHER = """
import subprocess, sys
words = [sys.executable, "-c", sys.argv[1]]
child = subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE, env={}, cwd="/")
child.stdout.readline()
print(child.pid, flush=True)
"""


def child(**options):
    process = subprocess.Popen([sys.executable, "-c", SLEEP], stdout=subprocess.PIPE, **options)
    process.stdout.readline()
    return process.pid


pids = [child(), child(start_new_session=True), child(start_new_session=True, env={}, cwd="/")]
orphan = subprocess.run([sys.executable, "-c", FATHER, SLEEP], stdout=subprocess.PIPE, start_new_session=True)
pids.append(int(orphan.stdout))
if os.environ.get("DEAF"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([os.getpid(), *pids]).encode())


http.server.ThreadingHTTPServer(
    ("127.0.0.1", int(os.environ["DATABRICKS_APP_PORT"])), Handler
).serve_forever()
