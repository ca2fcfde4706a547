"""Expected failures: one exception type and one closed list of codes.

Programs branch on the code, and people search for it. The message names the thing, its place and what was expected. The
hint is a command or an edit that the user can carry out.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Every code an error of this tool can carry. Grouped by the part that raises it."""

    # the command line itself
    USAGE = "usage"
    BUG = "bug"
    INTERRUPTED = "interrupted"
    # configuration
    CONFIG_INVALID = "config_invalid"
    CONFIG_CONFLICT = "config_conflict"
    CONFIG_EXISTS = "config_exists"
    TARGET_UNKNOWN = "target_unknown"
    TARGET_PROTECTED = "target_protected"
    TOOL_VERSION = "tool_version"
    # the machine
    TOOL_MISSING = "tool_missing"
    EXTRA_MISSING = "extra_missing"
    PROCESS_FAILED = "process_failed"
    PROCESS_SILENT = "process_silent"
    DISK_FULL = "disk_full"
    MACHINE_EXHAUSTED = "machine_exhausted"
    FILE_ACCESS = "file_access"
    FOLDER_BUSY = "folder_busy"
    PORT_TAKEN = "port_taken"
    # pipeline
    STAGE_MISSING = "stage_missing"
    # prepare
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_AUTH = "upstream_auth"
    REF_UNKNOWN = "ref_unknown"
    REF_MOVED = "ref_moved"
    REF_UNSUPPORTED = "ref_unsupported"
    # patch
    PATCH_INVALID = "patch_invalid"
    PATCH_DRIFT = "patch_drift"
    PATCH_OBSOLETE = "patch_obsolete"
    PATCH_INCOMPLETE = "patch_incomplete"
    TEMPLATE_INVALID = "template_invalid"
    # build
    LOCKFILE_MISMATCH = "lockfile_mismatch"
    BUILD_FAILED = "build_failed"
    BUNDLE_INVALID = "bundle_invalid"
    ARTIFACT_INVALID = "artifact_invalid"
    RELEASE_UNHEALTHY = "release_unhealthy"
    RELEASE_UNKNOWN = "release_unknown"
    RELEASE_ALTERED = "release_altered"
    RELEASE_UNPROVEN = "release_unproven"
    RECORD_UNSIGNED = "record_unsigned"
    # workspace
    AUTH_FAILED = "auth_failed"
    HOST_MISMATCH = "host_mismatch"
    WORKSPACE_UNREACHABLE = "workspace_unreachable"
    WORKSPACE_ANSWER = "workspace_answer"
    NOT_FOUND = "not_found"
    PERMISSION_DENIED = "permission_denied"
    ADDRESS_REFUSED = "address_refused"
    FEATURE_MISSING = "feature_missing"
    ALREADY_EXISTS = "already_exists"
    BUSY = "busy"
    ID_RESERVED = "id_reserved"
    REQUEST_REFUSED = "request_refused"
    RATE_LIMITED = "rate_limited"
    DEADLINE = "deadline"
    LOCK_HELD = "lock_held"
    LOCK_LOST = "lock_lost"
    DEPLOYMENT_FAILED = "deployment_failed"
    DEPLOYMENT_REPLACED = "deployment_replaced"
    NOT_DEPLOYED = "not_deployed"
    NO_WAY_BACK = "no_way_back"
    SCHEMA_MOVED = "schema_moved"
    UNHEALTHY = "unhealthy"
    # the database of an app
    DATABASE_REFUSED = "database_refused"
    DATABASE_UNREACHABLE = "database_unreachable"
    BACKUP_INVALID = "backup_invalid"
    SCHEMA_OCCUPIED = "schema_occupied"
    NO_OWNER = "no_owner"
    LOG_STREAM = "log_stream"
    # embedded workspace
    LOCAL_DOWN = "local_down"
    LOCAL_FAILED = "local_failed"
    POSTGRES_FAILED = "postgres_failed"


class DeployError(Exception):
    """An expected failure: exit code 1, no traceback.

    Args:
        code: from the closed list; the only thing a program may branch on.
        message: one sentence that names the thing, where it is and what was expected.
        hint: the next step, as a command or an edit.
        detail: evidence (last lines of a tool, an API's answer), shown below; never a secret.
        known: id of the failure in the knowledge base, where it has one.
    """

    def __init__(
        self, code: Code, message: str, *, hint: str, detail: str | None = None, known: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.detail = detail
        self.known = known

    def as_dict(self) -> dict[str, str | None]:
        """The `error` object of `-o json`."""
        return {"code": self.code.value, "message": self.message, "hint": self.hint, "detail": self.detail}
