"""The fields of databricks.yml that this tool uses, as the official command line's JSON Schema (v1.13) types them."""

from __future__ import annotations

from typing import Any

TEXT, FLAG, NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "number"}
DURATION = {"type": "string", "pattern": r"^\d+s$"}


def section(fields: dict[str, Any], *required: str) -> dict[str, Any]:
    """An object with these fields and no others."""
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


def items(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def named(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": of}


def grants(*levels: str) -> dict[str, Any]:
    principals = dict.fromkeys(("user_name", "group_name", "service_principal_name"), TEXT)
    level = {"enum": list(levels)} if levels else TEXT
    return items(section({"level": level, **principals}, "level"))


TAGS = items(section({"key": TEXT, "value": TEXT}))
LIFECYCLE = section({"prevent_destroy": FLAG})
LIMITS = {
    "autoscaling_limit_min_cu": NUMBER,
    "autoscaling_limit_max_cu": NUMBER,
    "no_suspension": FLAG,
    "suspend_timeout_duration": DURATION,
}
MADE = {"parent": TEXT, "replace_existing": FLAG, "lifecycle": LIFECYCLE}
ATTACHED = {
    "name": TEXT,
    "description": TEXT,
    "postgres": section(
        {"branch": TEXT, "database": TEXT, "permission": {"enum": ["CAN_CONNECT_AND_CREATE"]}}
    ),
    "database": section(
        {"instance_name": TEXT, "database_name": TEXT, "permission": {"enum": ["CAN_CONNECT_AND_CREATE"]}}
    ),
    "secret": section({"scope": TEXT, "key": TEXT, "permission": {"enum": ["READ", "WRITE", "MANAGE"]}}),
}
APP = section(
    {
        "name": TEXT,
        "description": TEXT,
        "compute_size": {"enum": ["MEDIUM", "LARGE", "XLARGE"]},
        "source_code_path": TEXT,
        "user_api_scopes": items(TEXT),
        **dict.fromkeys(("budget_policy_id", "usage_policy_id", "space"), TEXT),
        "telemetry_export_destinations": items(
            section(
                {
                    "unity_catalog": section(
                        dict.fromkeys(("logs_table", "metrics_table", "traces_table"), TEXT)
                    )
                }
            )
        ),
        "resources": items(section(ATTACHED, "name")),
        "permissions": grants("CAN_USE", "CAN_MANAGE"),
        "lifecycle": section({"prevent_destroy": FLAG, "started": FLAG}),
        "config": section(
            {
                "command": items(TEXT),
                "env": items(section({"name": TEXT, "value": TEXT, "value_from": TEXT}, "name")),
            }
        ),
    },
    "name",
)
RESOURCES = section(
    {
        "apps": named(APP),
        "secret_scopes": named(
            section(
                {"name": TEXT, "lifecycle": LIFECYCLE, "permissions": grants("READ", "WRITE", "MANAGE")},
                "name",
            )
        ),
        "database_instances": named(
            section(
                {
                    **dict.fromkeys(("name", "capacity", "usage_policy_id"), TEXT),
                    "custom_tags": TAGS,
                    "lifecycle": LIFECYCLE,
                    "permissions": grants(),
                },
                "name",
            )
        ),
        "postgres_projects": named(
            section(
                {
                    "project_id": TEXT,
                    "display_name": TEXT,
                    "budget_policy_id": TEXT,
                    "custom_tags": TAGS,
                    "pg_version": NUMBER,
                    "history_retention_duration": DURATION,
                    "default_endpoint_settings": section(LIMITS),
                    "lifecycle": LIFECYCLE,
                    "permissions": grants(),
                },
                "project_id",
            )
        ),
        "postgres_branches": named(
            section(
                {**MADE, "branch_id": TEXT, "no_expiry": FLAG, "is_protected": FLAG}, "branch_id", "parent"
            )
        ),
        "postgres_endpoints": named(
            section(
                {
                    **MADE,
                    **LIMITS,
                    "endpoint_id": TEXT,
                    "endpoint_type": {"enum": ["ENDPOINT_TYPE_READ_WRITE"]},
                },
                *("endpoint_id", "parent", "endpoint_type"),
            )
        ),
        "postgres_roles": named(
            section({**MADE, "role_id": TEXT, "postgres_role": TEXT}, "role_id", "parent")
        ),
        "postgres_databases": named(
            section(
                {**MADE, "database_id": TEXT, "postgres_database": TEXT, "role": TEXT},
                *("database_id", "parent", "role"),
            )
        ),
    }
)
SCHEMA = section(
    {
        "bundle": section({"name": TEXT}, "name"),
        "targets": named(
            section(
                {"workspace": section({"host": TEXT, "root_path": TEXT}), "resources": RESOURCES}, "workspace"
            )
        ),
    }
)
