"""Settings: their models, where they come from, and what is wrong with them.

Importing this package loads neither pydantic nor a YAML parser: each function's module is loaded when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metamcp_deploy.config.explanation import Row as Row
    from metamcp_deploy.config.explanation import explain as explain
    from metamcp_deploy.config.layout import schema as schema
    from metamcp_deploy.config.loading import check as check
    from metamcp_deploy.config.loading import load as load
    from metamcp_deploy.config.loading import used as used
    from metamcp_deploy.config.model import Settings as Settings
    from metamcp_deploy.config.problems import Problem as Problem
    from metamcp_deploy.config.project import Project as Project
    from metamcp_deploy.config.project import init as init
    from metamcp_deploy.config.rules import guard as guard
    from metamcp_deploy.config.secret import Secret as Secret
    from metamcp_deploy.config.targets import target_names as target_names

_HOMES = {
    "check": "loading",
    "explain": "explanation",
    "Row": "explanation",
    "guard": "rules",
    "schema": "layout",
    "load": "loading",
    "used": "loading",
    "Settings": "model",
    "Problem": "problems",
    "Project": "project",
    "Secret": "secret",
    "init": "project",
    "target_names": "targets",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
