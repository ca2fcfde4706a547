"""What the specs of Lakebase's resources may hold, what is filled in, and how PATCH changes them.

Sources: the SDK's descriptions (databricks/sdk/service/postgres.py 0.156) for fields and ranges; the fake workspace of
Databricks' own command line (libs/testserver/postgres.go, v1.13) for defaults and texts of errors. Unsure is whether
unknown fields are refused: here they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from metamcp_deploy.local.api.errors import invalid

_SIZES = frozenset({"autoscaling_limit_min_cu", "autoscaling_limit_max_cu"})
_COMPUTE = _SIZES | {"suspend_timeout_duration", "no_suspension"}
FIELDS: Mapping[str, frozenset[str]] = {
    "projects": frozenset(
        {
            *(
                "budget_policy_id",
                "custom_tags",
                "default_branch",
                "default_endpoint_settings",
                "display_name",
            ),
            *("enable_pg_native_login", "history_retention_duration", "pg_version"),
        }
    ),
    "branches": frozenset(
        {
            *("expire_time", "is_protected", "no_expiry", "ttl"),
            *("source_branch", "source_branch_lsn", "source_branch_time", "source_snapshot"),
        }
    ),
    "endpoints": _COMPUTE | {"endpoint_type", "disabled", "group", "settings"},
    "databases": frozenset({"postgres_database", "role"}),
    "roles": frozenset({"postgres_role", "auth_method", "identity_type", "membership_roles", "attributes"}),
}
_SUSPENSION = (
    "no_suspension",
    "suspend_timeout_duration",
)  # a spec has one of them (SDK: mutually exclusive)
# Lakebase autoscaling's (docs.databricks.com, oltp/projects/compatibility); all run on the one Postgres here.
PG_VERSIONS = (16, 17)
FIRST_ENDPOINT = _COMPUTE | {"group"}
_NESTED = {"default_endpoint_settings": _COMPUTE | {"pg_settings"}}
# A branch cannot be given another origin: https://docs.databricks.com/api/postgres/v1/get-branch says "immutable".
_FIXED = {"branches": ("source_branch", "source_branch_lsn", "source_branch_time", "source_snapshot")}
_ENUMS = {
    "endpoint_type": ("ENDPOINT_TYPE_READ_WRITE", "ENDPOINT_TYPE_READ_ONLY"),
    "auth_method": ("LAKEBASE_OAUTH_V1", "PG_PASSWORD_SCRAM_SHA_256", "NO_LOGIN"),
    "identity_type": ("USER", "GROUP", "SERVICE_PRINCIPAL"),
}
_DURATIONS = {
    "history_retention_duration": (172_800, 3_024_000),
    "suspend_timeout_duration": (60, 604_800),
    "ttl": (1, 2_592_000),  # 30 days at most
}
_DEFAULT_SETTINGS = {
    "autoscaling_limit_min_cu": 1,
    "autoscaling_limit_max_cu": 1,
    "suspend_timeout_duration": "86400s",
}
_RETENTION = "604800s"


def checked(kind: str, spec: Any) -> dict[str, Any]:
    """A spec that holds only what its kind has, each in its range.

    Raises:
        ApiError: 400 INVALID_PARAMETER_VALUE.
    """
    if not isinstance(spec, dict):
        raise invalid("spec must be an object")
    _known(spec, FIELDS[kind], "spec")
    for name, value in spec.items():
        if name in _NESTED:
            _known(value, _NESTED[name], f"spec.{name}")
            _compute(value)
    _compute(spec)
    if "custom_tags" in spec:
        check_tags(spec["custom_tags"])
    version = spec.get("pg_version")
    if version is not None and (not isinstance(version, int) or version not in PG_VERSIONS):
        known = ", ".join(map(str, PG_VERSIONS))
        raise invalid(
            f"Unsupported pg_version {version!r}. Supported versions: {known}"
        )  # the words are a guess
    return spec


def check_tags(tags: Any) -> None:
    """Refuses what is no list of tags with a key of its own and a value; the words and the limits are guesses.

    Raises:
        ApiError: 400 INVALID_PARAMETER_VALUE.
    """
    seen = set()
    for tag in tags if isinstance(tags, list) else [None]:
        if not isinstance(tag, dict) or not {"key"} <= set(tag) <= {"key", "value"}:
            raise invalid("custom_tags must be a list of objects with key and value")
        key, value = tag["key"], tag.get("value", "")
        if (
            not isinstance(key, str)
            or not 1 <= len(key) <= 127
            or not isinstance(value, str)
            or len(value) > 255
        ):
            raise invalid(
                f"{key!r} is not a valid custom tag: a key of 1 to 127 characters, a value of at most 255"
            )
        if key in seen:
            raise invalid(f"Duplicate custom tag {key!r}")
        seen.add(key)


def masked(kind: str, held: Mapping[str, Any], spec: Any, mask: str) -> dict[str, Any]:
    """What a PATCH makes of a held spec: the fields of the mask (`spec.display_name,spec.default_endpoint_settings`).

    Raises:
        ApiError: 400 for an empty mask, or a field that the kind does not have or never changes.
    """
    wanted, result = checked(kind, spec or {}), dict(held)
    paths = [p.strip() for p in mask.split(",") if p.strip()]
    if not paths:
        raise invalid("Field 'update_mask' is required, expected non-default value")
    for path in paths:
        words = path.removeprefix("spec.").split(".")
        names = _named(kind, path, words[0], wanted)
        for name in names:
            if name in _FIXED.get(kind, ()):
                raise invalid(f"Field spec.{name} is immutable")
            if len(words) == 2 and name in _NESTED:
                part = {k: v for k, v in (wanted.get(name) or {}).items() if k == words[1]}
                kept = {k: v for k, v in (held.get(name) or {}).items() if k != words[1]}
                result[name] = kept | part
            elif name in wanted:
                if name in _SUSPENSION:
                    result = {k: v for k, v in result.items() if k not in _SUSPENSION}
                result[name] = wanted[name]
            else:
                result.pop(name, None)
    return checked(kind, result)


def _named(kind: str, path: str, first: str, wanted: Mapping[str, Any]) -> list[str]:
    """The fields of a spec that one path of a mask means."""
    if path in ("*", "spec"):
        # The wildcard leaves empty tags alone (SDK, ProjectSpec.custom_tags).
        empty = {"custom_tags"} if path == "*" and not wanted.get("custom_tags") else set()
        return sorted(set(wanted) - set(_FIXED.get(kind, ())) - empty)
    if first == "expiration" and kind == "branches":
        return ["expire_time", "ttl", "no_expiry"]
    if first == "suspension" and kind == "endpoints":
        # The given one last: each clears the other.
        return sorted(_SUSPENSION, key=lambda name: name in wanted)
    if first not in FIELDS[kind]:
        raise invalid(f"update_mask names {path}, which {kind} do not have")
    return [first]


def first_endpoint(given: Any) -> dict[str, Any]:
    """The size of the endpoint that comes with a project: `default_endpoint_settings` count for later ones only (SDK).

    Raises:
        ApiError: 400 INVALID_PARAMETER_VALUE.
    """
    given = given or {}
    _known(given, FIRST_ENDPOINT, "initial_endpoint_spec")
    _compute(given)
    defaults = {
        k: v for k, v in _DEFAULT_SETTINGS.items() if not (k in _SUSPENSION and given.get("no_suspension"))
    }
    return {**defaults, **given}


def project_defaults(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A project's spec with what the platform fills in."""
    settings = dict(spec.get("default_endpoint_settings") or {})
    defaults = dict(_DEFAULT_SETTINGS)
    if settings.get("no_suspension"):
        del defaults["suspend_timeout_duration"]
    return {
        "history_retention_duration": _RETENTION,
        **spec,
        "default_endpoint_settings": {**defaults, **settings},
    }


def seconds(duration: str) -> float:
    """What `604800s` is in seconds.

    Raises:
        ApiError: 400.
    """
    match = re.fullmatch(r"(\d+(\.\d+)?)s", str(duration))
    if match is None:
        raise invalid(f"{duration!r} is not a duration as 604800s")
    return float(match[1])


def _known(given: Any, known: frozenset[str], where: str) -> None:
    if not isinstance(given, dict):
        raise invalid(f"{where} must be an object")
    if unknown := sorted(set(given) - known):
        raise invalid(f"Unknown field {where}.{unknown[0]}")
    for name, value in given.items():
        if name in _ENUMS and value not in _ENUMS[name]:
            raise invalid(f"{where}.{name} must be one of {', '.join(_ENUMS[name])}, not {value!r}")
        if name in _DURATIONS:
            least, most = _DURATIONS[name]
            if not least <= seconds(value) <= most:
                raise invalid(f"{where}.{name} must be between {least}s and {most}s, not {value}")


def _compute(given: Mapping[str, Any]) -> None:
    for name in _SIZES & set(given):
        if not isinstance(given[name], int | float) or not 0.5 <= given[name] <= 64:
            raise invalid(f"{name} must be between 0.5 and 64, not {given[name]!r}")
    least, most = given.get("autoscaling_limit_min_cu"), given.get("autoscaling_limit_max_cu")
    if least is not None and most is not None and not 0 <= most - least <= 16:
        raise invalid("autoscaling_limit_max_cu must be at least the minimum, and at most 16 above it")
    if given.get("no_suspension") and "suspend_timeout_duration" in given:
        raise invalid("no_suspension and suspend_timeout_duration are mutually exclusive")
