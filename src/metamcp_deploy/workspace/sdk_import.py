"""The one place that loads databricks.sdk: its core and the services that are used, not all hundred of them.

`databricks/sdk/__init__.py` imports every service (0.9 s of processor time). A package object with the same path, put
in its place before, lets the modules inside be imported one by one (0.1 s for the core after `requests`). The file runs
only when somebody asks the package for a name of its own, as in `from databricks.sdk import WorkspaceClient`.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import threading
from types import ModuleType
from typing import Any

_PACKAGE = "databricks.sdk"
# Only logins through Google's cloud use them; they load `cryptography`, a third of what the core costs.
_POSTPONED = ("google.auth.impersonated_credentials", "google.oauth2.service_account")

_log = logging.getLogger("metamcp_deploy.workspace")
_lock = threading.RLock()


def module(name: str) -> ModuleType:
    """Imports `databricks.sdk.<name>`; by the plain import of the whole SDK where the short way fails."""
    with _lock:
        if _PACKAGE in sys.modules:
            return importlib.import_module(f"{_PACKAGE}.{name}")
        try:
            _put_in_place()
            importlib.import_module(f"{_PACKAGE}.core")
            return importlib.import_module(f"{_PACKAGE}.{name}")
        except Exception:
            _log.debug("databricks.sdk cannot be loaded in parts; loading all of it", exc_info=True)
            _forget()
            importlib.import_module(_PACKAGE)
            return importlib.import_module(f"{_PACKAGE}.{name}")


def _put_in_place() -> None:
    for name in _POSTPONED:
        _postpone(name)
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise ImportError(_PACKAGE)
    package = importlib.util.module_from_spec(spec)

    def missing(name: str) -> Any:
        """Called for a name that the package lacks."""
        if name.startswith("__") or importlib.util.find_spec(f"{_PACKAGE}.{name}"):
            raise AttributeError(name)  # `from databricks.sdk import oauth` imports that module then
        if vars(package).pop("__getattr__", None) and spec.loader:
            spec.loader.exec_module(package)
        return getattr(package, name)

    vars(package)["__getattr__"] = missing
    sys.modules[_PACKAGE] = package
    vars(importlib.import_module("databricks"))["sdk"] = package


def _postpone(name: str) -> None:
    """Lets a module load when something in it is used."""
    if name in sys.modules:
        return
    parent, _, child = name.rpartition(".")
    above = importlib.import_module(parent)
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return  # another version of google-auth: nothing to postpone
    spec.loader = importlib.util.LazyLoader(spec.loader)
    later = importlib.util.module_from_spec(spec)
    sys.modules[name] = later
    spec.loader.exec_module(later)
    setattr(above, child, later)


def _forget() -> None:
    for name in [n for n in sys.modules if n == _PACKAGE or n.startswith(f"{_PACKAGE}.")]:
        del sys.modules[name]
    vars(importlib.import_module("databricks")).pop("sdk", None)
