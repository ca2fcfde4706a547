"""What several sections of the settings are made of: the base of all models, permissions, references to secrets."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from metamcp_deploy.config.kinds import Expected, Line, SecretKey

PRINCIPALS = ("user_name", "group_name", "service_principal_name")


class Model(BaseModel):
    """Frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)


def _one_principal(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [{"required": [name]} for name in PRINCIPALS]


class Permission(Model):
    """One grant on the app, to exactly one of a user, a group or a service principal."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_one_principal)

    level: Literal["CAN_USE", "CAN_MANAGE"]
    user_name: Line | None = None
    group_name: Line | None = None
    service_principal_name: Line | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in PRINCIPALS if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"found {' and '.join(given) or 'none'}, expected exactly one of {', '.join(PRINCIPALS)}"
            )
        return self


class ScopePermission(Permission):
    """One grant on the secret scope, to exactly one of a user, a group or a service principal."""

    level: Literal["READ", "WRITE", "MANAGE"]  # type: ignore[assignment]


class SecretReference(Model):
    """An environment value that is a key of the target's secret scope."""

    secret: SecretKey


# Only a reference: an error never repeats what stands there, which may be the secret itself.
HeldSecret = Annotated[SecretReference, Expected("{secret: KEY}, the key of a secret in the scope")]
