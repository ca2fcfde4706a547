"""The fields of an app: what clients set, what the platform sets, and what is not imitated.

Source: databricks/sdk/service/apps.py 0.156 (App, AppUpdate, AppDeployment). Unsure is whether a field that no version
knows is ignored: here it is refused, so that a misspelt one is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metamcp_deploy.local.api.errors import ApiError, invalid

SETTABLE = (
    *("description", "resources", "compute_size", "user_api_scopes"),
    *("compute_min_instances", "compute_max_instances"),
)
SIZES = ("MEDIUM", "LARGE", "XLARGE")
# What GET gives and nobody sets: clients send it back with PATCH, and the platform ignores it.
_READ_ONLY = frozenset(
    {
        *(
            "name",
            "id",
            "url",
            "creator",
            "updater",
            "create_time",
            "update_time",
            "default_source_code_path",
        ),
        *("app_status", "compute_status", "active_deployment", "pending_deployment", "thumbnail_url"),
        *("service_principal_client_id", "service_principal_id", "service_principal_name"),
        *("oauth2_app_client_id", "oauth2_app_integration_id", "effective_user_api_scopes"),
        *("effective_budget_policy_id", "effective_usage_policy_id", "forward_user_access_token"),
    }
)
_ELSEWHERE = frozenset(
    {
        *("budget_policy_id", "usage_policy_id", "git_repository", "git_source", "default_git_source"),
        *("source_code_path", "space", "telemetry_export_destinations"),
    }
)
_DEPLOYMENT = frozenset({"mode", "source_code_path", "command", "env_vars"})
_DEPLOYMENT_READ_ONLY = frozenset(
    {"deployment_id", "create_time", "update_time", "creator", "status", "deployment_artifacts"}
)
# What the platform grants without being asked (docs.databricks.com, "Configure authorization in a Databricks app").
DEFAULT_SCOPES = ("iam.current-user:read", "iam.access-control:read")


def settable(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a client wants of an app.

    Raises:
        ApiError: 400 for a field that apps do not have or a wrong value, 501 for one that has no effect here.
    """
    _check(data, frozenset(SETTABLE) | _READ_ONLY, _ELSEWHERE, "apps")
    wanted = {k: data[k] for k in SETTABLE if k in data}
    if wanted.get("compute_size") not in (None, *SIZES):
        raise invalid(f"compute_size must be one of {', '.join(SIZES)}, not {wanted['compute_size']!r}")
    for name in ("resources", "user_api_scopes"):
        if not isinstance(wanted.get(name) or [], list):
            raise invalid(f"{name} must be a list")
    for name in ("compute_min_instances", "compute_max_instances"):
        count = wanted.get(name)
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
            raise invalid(f"{name} must be a number from 1, not {count!r}")
    return wanted


def check_deployment(data: Mapping[str, Any]) -> None:
    """Whether a deployment can be what a request says.

    Raises:
        ApiError: as `settable`.
    """
    known = _DEPLOYMENT | _DEPLOYMENT_READ_ONLY
    _check(data, known, frozenset({"health_check", "git_source"}), "deployments")
    mode = data.get("mode", "SNAPSHOT")
    if mode == "AUTO_SYNC":
        raise ApiError(501, "NOT_IMPLEMENTED", "The embedded workspace does not imitate mode AUTO_SYNC.")
    if mode != "SNAPSHOT":
        raise invalid(f"mode must be SNAPSHOT or AUTO_SYNC, not {mode!r}")
    command = data.get("command") or []
    if not isinstance(command, list) or not all(isinstance(w, str) for w in command):
        raise invalid("command must be a list of words, there is no shell")
    _check_env(data.get("env_vars") or [])


def _check_env(env: Any) -> None:
    entries = env if isinstance(env, list) else [{}]
    for entry in (e if isinstance(e, dict) else {} for e in entries):
        if not entry.get("name") or ("value" in entry) == ("value_from" in entry):
            raise invalid("Each of env_vars needs a name and either value or value_from.")
        if unknown := sorted(set(entry) - {"name", "value", "value_from"}):
            raise invalid(f"env_vars have no field {unknown[0]}")


def _check(data: Mapping[str, Any], known: frozenset[str], elsewhere: frozenset[str], what: str) -> None:
    if here := sorted(set(data) & elsewhere):
        fields = ", ".join(here)
        raise ApiError(501, "NOT_IMPLEMENTED", f"The embedded workspace does not imitate {fields} of {what}.")
    if unknown := sorted(set(data) - known):
        raise invalid(f"Unknown field {unknown[0]} of {what}")
