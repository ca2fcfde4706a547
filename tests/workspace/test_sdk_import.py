"""The SDK is loaded in parts; what a new version of it could break is noticed here, and costs time only."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

from metamcp_deploy.workspace import sdk_import
from metamcp_deploy.workspace.transport import Transport

USED = """
import sys
from metamcp_deploy.workspace import sdk_import, services
from metamcp_deploy.workspace.transport import Transport

transport = Transport("https://dev.example.com", None, dict)
config = sdk_import.module("config").Config
for service in ("apps", "postgres", "database", "files", "secrets", "permissions", "current_user"):
    assert getattr(services, service)(transport)._api is transport
package = sys.modules["databricks.sdk"]
"""


def run(code: str, path: Path | None = None) -> str:
    """What Python prints; `path` comes before the installed packages."""
    environ = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_only_the_parts_in_use_are_loaded() -> None:
    loaded = (
        "import json; print(json.dumps([n for n in sys.modules if n.startswith('databricks.sdk.service.')]))"
    )
    assert sorted(json.loads(run(USED + loaded))) == [
        f"databricks.sdk.service.{name}"
        for name in ("_internal", "apps", "database", "iam", "postgres", "provisioning", "workspace")
    ]
    whole = "print('WorkspaceClient' in vars(package), 'cryptography' in sys.modules)"
    assert run(USED + whole) == "False False"


def test_the_whole_package_is_there_for_those_who_ask() -> None:
    ask = """
from databricks.sdk import WorkspaceClient, oauth
import databricks.sdk
assert issubclass(oauth.Token, object)
assert databricks.sdk.AccountClient
assert sdk_import.module("config").Config is config
print(WorkspaceClient.__name__, WorkspaceClient.__init__.__globals__["client"].Config is config)
"""
    assert run(USED + ask) == "WorkspaceClient True"


def test_an_sdk_that_needs_its_package_is_loaded_whole(tmp_path: Path) -> None:
    package = tmp_path / "databricks" / "sdk"
    package.mkdir(parents=True)
    (tmp_path / "databricks" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("needed = 1\nimport databricks.sdk.core\n")
    (package / "core.py").write_text("import sys\nneeded = vars(sys.modules['databricks.sdk'])['needed']\n")
    code = "from metamcp_deploy.workspace import sdk_import\nprint(sdk_import.module('core').needed)"
    assert run(code, tmp_path) == "1"


def test_the_transport_takes_what_the_sdk_passes() -> None:
    """As the installed version declares it; the services call it by these names."""
    theirs = inspect.signature(sdk_import.module("core").ApiClient.do).parameters
    assert [*inspect.signature(Transport.do).parameters] == [*theirs]
