"""The values that a setting may have, each with the words of an error for what was expected."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from metamcp_deploy.config import hosts

MARK_TAG = "metamcp-deploy"  # key of the tag that names the target which made a project or instance
# The types of the errors that `Expected` makes; a message repeats no value that may be a secret.
EXPECTED, CONFIDENTIAL = "expected", "expected_confidential"


@dataclass(frozen=True)
class Expected:
    """What an error says was expected, whichever rule of the type the value broke."""

    text: str
    confidential: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kind = CONFIDENTIAL if self.confidential else EXPECTED
        return core_schema.custom_error_schema(handler(source), kind, custom_error_message=self.text)


def _flag(value: Any) -> bool:
    # YAML's scalars arrive as they were written: `yes` and `on` are no booleans here.
    made = {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(made, bool):
        raise ValueError("not a boolean")
    return made


def _root_path(value: str) -> str:
    if re.search(r"/\.{0,2}(/|$)", value):
        raise ValueError("holds an empty, `.` or `..` part; write the path out")
    return value


@dataclass(frozen=True)
class Section:
    """A section or list may be empty: `network:` with everything below it commented out."""

    empty: type[dict[str, Any]] | type[tuple[Any, ...]] = dict

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: self.empty() if value is None else value, handler(source)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        inner = handler(schema)
        if "patternProperties" in inner:  # a mapping whose names follow a rule: no others
            inner["additionalProperties"] = False
        return {"anyOf": [inner, {"type": "null"}]}


def _integer(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _schema_name(value: str) -> str:
    if value == "public":
        raise ValueError("the app's role may create nothing in `public`; name a schema of its own")
    if value.startswith("pg_") or value == "information_schema":
        raise ValueError(f"`{value}` is reserved by PostgreSQL; name a schema of its own")
    return value


def _not_the_mark(key: str) -> str:
    if key.casefold() == MARK_TAG:
        raise ValueError("is the tag by which this tool knows what it made; leave it out")
    return key


Flag = Annotated[bool, BeforeValidator(_flag), Expected("true or false")]
Integer = BeforeValidator(_integer)

# Sources of the patterns: facts on Apps and Lakebase in docs; PostgreSQL identifiers are at most 63 bytes.
AppName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", min_length=2, max_length=30),
    Expected("an app name: 2 to 30 of a-z, 0-9 and -, the first a letter"),
]
LakebaseId = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", min_length=1, max_length=63),
    Expected("a Lakebase id: 1 to 63 of a-z, 0-9 and -, the first a letter"),
]
Identifier = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$", min_length=1, max_length=63),
    Expected("a PostgreSQL identifier: 1 to 63 of a-z, 0-9 and _, the first no digit"),
    AfterValidator(_schema_name),
]
DatabaseName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", min_length=4, max_length=63),
    Expected("a database name: 4 to 63 of a-z, 0-9, _ and -, the first a letter"),
]
Email = Annotated[
    str,
    BeforeValidator(lambda value: value.strip().lower() if isinstance(value, str) else value),
    StringConstraints(pattern=r"^[^\s\x00-\x1f@,\"']+@[^\s\x00-\x1f@,\"']+$", max_length=254),
    Expected("an e-mail address"),
]
ChildName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"),
    Expected("the name of a variable: letters, digits and _, the first no digit"),
]
SecretKey = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$"),
    Expected("1 to 128 letters, digits, _, . and -"),
]
ClientId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{3,62}$"),
    Expected("the client id of a service principal, as in 00000000-0000-0000-0000-000000000000"),
]
TargetName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"),
    Expected("a target name: 1 to 63 letters, digits, _ and -"),
]
Commit = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{40}$"),
    Expected("a full commit: 40 of 0-9 and a-f"),
]
Line = Annotated[str, StringConstraints(pattern=r"^[^\r\n\x00]+$"), Expected("a text on one line")]
Text = Annotated[str, StringConstraints(pattern=r"^[^\r\n\x00]*$"), Expected("a text on one line")]
# Neither %2f, ?, # nor a placeholder can make another path of it on its way through URLs and databricks.yml.
RootPath = Annotated[
    str,
    StringConstraints(pattern=r"^/Workspace/[^\x00-\x1f\x7f%?#\\$]*[^/\x00-\x1f\x7f%?#\\$]$"),
    Expected("a path below /Workspace/, without a / at its end and without % ? # $ or \\"),
    AfterValidator(_root_path),
]
Host = Annotated[Line, AfterValidator(hosts.origin)]
Seconds = Annotated[float, Field(gt=0, le=86_400), Expected("a number of seconds, more than 0")]
# Source of the limits: the documentation of Lakebase autoscaling.
ComputeUnits = Annotated[float, Field(ge=0.5, le=112), Expected("a number of compute units (CU), 0.5 to 112")]
Suspension = Annotated[
    Literal["never"] | Annotated[int, Integer, Field(ge=60, le=604_800)],
    Expected("a whole number of seconds, 60 to 604800, or never"),
]
IdleSeconds = Annotated[
    int, Integer, Field(ge=0, le=604_800), Expected("a whole number of seconds, 0 to 604800")
]
RetentionDays = Annotated[int, Integer, Field(ge=2, le=35), Expected("a whole number of days, 2 to 35")]
KeptReleases = Annotated[int, Integer, Field(ge=2, le=1000), Expected("a whole number, at least 2")]
UserScope = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9_.:-]{0,127}$"),
    Expected("an API scope such as `sql` or `files.files`"),
]
WarehouseId = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-zA-Z-]{1,64}$", strip_whitespace=True),
    Expected("the id of a SQL warehouse, such as 0f8fad5bd9cb469f"),
]
PolicyId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,127}$"), Expected("the id of a policy")
]
HealthSeconds = Annotated[
    int, Integer, Field(ge=5, le=3600), Expected("a whole number of seconds, 5 to 3600")
]
PgVersion = Annotated[
    int, Integer, Field(ge=14, le=99), Expected("a major version of PostgreSQL, such as 17")
]
TableName = Annotated[
    str,
    StringConstraints(pattern=r"^[^\s./]+\.[^\s./]+\.[^\s./]+$"),
    Expected("a table of Unity Catalog: catalog.schema.table"),
]
# Of a Databricks custom tag; unsure for Lakebase, whose own limits nobody states.
TagKey = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f]{1,127}$"),
    Expected("the key of a tag: 1 to 127 characters"),
    AfterValidator(_not_the_mark),
]
TagValue = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f]{0,255}$"),
    Expected("the value of a tag: at most 255 characters"),
]
Folder = Annotated[Path, Expected("the path of a folder")]
File = Annotated[Path, Expected("the path of a file")]
# For editors: scalars of YAML are taken as written, so `PORT: 8080` and `DEBUG: true` are valid.
SECRET_REFERENCE_SCHEMA = {
    "type": "object",
    "properties": {"secret": {"type": "string", "pattern": r"^[A-Za-z0-9_.-]{1,128}$"}},
    "required": ["secret"],
    "additionalProperties": False,
}
AsWritten = WithJsonSchema({"anyOf": [{"type": ["string", "number", "boolean"]}, SECRET_REFERENCE_SCHEMA]})
