"""The fields of an app: what clients set, what the platform sets, and what is not imitated.

Source: databricks/sdk/service/apps.py 0.156 (App, AppUpdate, AppDeployment). Unsure is whether a field that no version
knows is ignored: here it is refused, so that a misspelt one is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from metamcp_deploy.local.api.errors import ApiError, invalid
from metamcp_deploy.local.lakebase.specs import seconds

SETTABLE = (
    *("description", "resources", "compute_size", "user_api_scopes"),
    *("compute_min_instances", "compute_max_instances"),
    *("budget_policy_id", "usage_policy_id", "telemetry_export_destinations", "forward_user_access_token"),
)
AT_CREATION = ("space",)  # AppUpdate has no such field
# The constant mask of the official command line (bundle/direct/dresources/app.go) names it, too; only null is taken.
MASKABLE = (*SETTABLE, "git_repository")
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
        *("effective_budget_policy_id", "effective_usage_policy_id"),
    }
)
_ELSEWHERE = frozenset(
    {
        *("git_repository", "git_source", "default_git_source", "source_code_path"),
    }
)
_DEPLOYMENT = frozenset({"mode", "source_code_path", "command", "env_vars", "health_check"})
_DEPLOYMENT_READ_ONLY = frozenset(
    {"deployment_id", "create_time", "update_time", "creator", "status", "deployment_artifacts"}
)
# A scope is `<API>[.<resource>][:read]`. A guess: the APIs whose scopes are documented for apps, and some more.
_SCOPED = frozenset(
    {
        *(
            "sql",
            "files",
            "dashboards",
            "genie",
            "iam",
            "serving",
            "vectorsearch",
            "catalog",
            "unity-catalog",
        ),
        *("mcp", "postgres", "database", "jobs", "pipelines", "workspace", "apps", "mlflow", "secrets"),
        *("model-serving", "all-apis", "clusters", "settings"),
    }
)
# What the platform grants without being asked (docs.databricks.com, "Configure authorization in a Databricks app").
DEFAULT_SCOPES = ("iam.current-user:read", "iam.access-control:read")


def settable(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a client wants of an app.

    Raises:
        ApiError: 400 for a field that apps do not have or a wrong value, 501 for one that has no effect here.
    """
    _check(data, frozenset(SETTABLE + AT_CREATION) | _READ_ONLY, _ELSEWHERE, "apps")
    wanted = {k: data[k] for k in SETTABLE + AT_CREATION if k in data}
    if wanted.get("compute_size") not in (None, *SIZES):
        raise invalid(f"compute_size must be one of {', '.join(SIZES)}, not {wanted['compute_size']!r}")
    for name in ("resources", "user_api_scopes", "telemetry_export_destinations"):
        if not isinstance(wanted.get(name) or [], list):
            raise invalid(f"{name} must be a list")
    for name in ("compute_min_instances", "compute_max_instances"):
        count = wanted.get(name)
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
            raise invalid(f"{name} must be a number from 1, not {count!r}")
    _check_scopes(wanted.get("user_api_scopes") or [])
    for destination in wanted.get("telemetry_export_destinations") or []:
        tables = (destination if isinstance(destination, dict) else {}).get("unity_catalog") or {}
        if set(tables) != {"logs_table", "metrics_table", "traces_table"}:
            raise invalid(
                "A telemetry export destination needs unity_catalog with logs_table, metrics_table, traces_table."
            )
    return wanted


def check_instances(spec: Mapping[str, Any]) -> None:
    """Refuses one of the two bounds alone ("Must be set together", SDK).

    Raises:
        ApiError: 400.
    """
    if (spec.get("compute_min_instances") is None) != (spec.get("compute_max_instances") is None):
        raise invalid("compute_min_instances and compute_max_instances must be set together.")


def _check_scopes(scopes: list[Any]) -> None:
    if unknown := [s for s in scopes if re.split(r"[.:]", str(s))[0] not in _SCOPED]:
        raise invalid(f"Invalid user API scope(s): {', '.join(map(str, unknown))}")  # the words are a guess


def check_deployment(data: Mapping[str, Any]) -> None:
    """Whether a deployment can be what a request says.

    Raises:
        ApiError: as `settable`.
    """
    known = _DEPLOYMENT | _DEPLOYMENT_READ_ONLY
    _check(data, known, frozenset({"git_source"}), "deployments")
    _check_health(data.get("health_check"))
    mode = data.get("mode", "SNAPSHOT")
    if mode == "AUTO_SYNC":
        raise ApiError(501, "NOT_IMPLEMENTED", "The embedded workspace does not imitate mode AUTO_SYNC.")
    if mode != "SNAPSHOT":
        raise invalid(f"mode must be SNAPSHOT or AUTO_SYNC, not {mode!r}")
    command = data.get("command") or []
    if not isinstance(command, list) or not all(isinstance(w, str) for w in command):
        raise invalid("command must be a list of words, there is no shell")
    _check_env(data.get("env_vars") or [])


def _check_health(given: Any) -> None:
    if given is None:
        return
    path = given.get("path") if isinstance(given, dict) else None
    if not isinstance(path, str) or not path.startswith("/"):
        raise invalid("health_check needs a path that begins with /")
    if unknown := sorted(set(given) - {"path", "timeout"}):
        raise invalid(f"health_check has no field {unknown[0]}")
    seconds(given.get("timeout", "1s"))


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
