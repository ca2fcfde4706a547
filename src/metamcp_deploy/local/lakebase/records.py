"""The records of Lakebase's resources, as they are when they are new."""

from __future__ import annotations

import time
import uuid
from typing import Any

from metamcp_deploy.local.timing import stamp

READ_WRITE = "ENDPOINT_TYPE_READ_WRITE"


def made(name: str) -> dict[str, Any]:
    """What every resource has."""
    return {"name": name, "uid": str(uuid.uuid4()), "create_time": stamp(time.time())}


def branch(name: str, *, default: bool) -> dict[str, Any]:
    """A branch without anything in it; `root` is one that came with its project."""
    below: dict[str, Any] = {"databases": {}, "endpoints": {}, "roles": {}}
    return made(name) | {
        "branch_id": name.rpartition("/")[2],
        "root": default,
        "is_protected": False,
        **below,
    }


def endpoint(parent: str, endpoint_id: str, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    """An endpoint; each branch gets one that reads and writes, `primary`."""
    given = spec or {"endpoint_type": READ_WRITE}
    return made(f"{parent}/endpoints/{endpoint_id}") | {"endpoint_id": endpoint_id, "spec": given}


def role(parent: str, role_id: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A role; what owns databases and cannot log in, or a person's own."""
    shown = {"postgres_role": role_id, "identity_type": "IDENTITY_TYPE_UNSPECIFIED", **spec}
    return made(f"{parent}/roles/{role_id}") | {"role_id": role_id, **shown}
