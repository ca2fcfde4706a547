"""What declarations of settings are made of: the base of all sections, who may state a setting, and shared values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from inspect import get_annotations
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from metamcp_deploy.config.constraints import Expected, Line, SecretKey

PRINCIPALS = ("user_name", "group_name", "service_principal_name")


class Model(BaseModel):
    """Frozen, and strict about unknown keys. Validators are built when a model is first used."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, defer_build=True
    )


@dataclass(frozen=True)
class Setting:
    """Who may state a setting besides metamcp.yaml. A section's own declaration holds for every setting in it.

    Attributes:
        place: where metamcp.yaml may state it: at the top ("top": the same for every target), in a target, or both.
        variable: name of an environment variable that states it, besides METAMCP_<KEY>.
        variables: False where no METAMCP_ variable states it.
        flags: False where `--set` does not state it.
        option: the option of the command line that states it, besides `--set`.
        identity: it identifies a deployment: no variable may contradict a target that states it.
        personal: people and pipelines choose their own, for a protected target too.
    """

    place: Literal["anywhere", "top", "target", "nowhere"] = "anywhere"
    variable: str | None = None
    variables: bool = True
    flags: bool = True
    option: str | None = None
    identity: bool = False
    personal: bool = False

    def within(self, section: Setting) -> Setting:
        """This declaration with what its section's declares."""
        return replace(
            self,
            place=section.place if self.place == "anywhere" else self.place,
            variables=self.variables and section.variables,
            flags=self.flags and section.flags,
            identity=self.identity or section.identity,
            personal=self.personal or section.personal,
        )


def declared(field: FieldInfo) -> Setting:
    """What a field's annotation declares."""
    return next((entry for entry in field.metadata if isinstance(entry, Setting)), Setting())


def section() -> Any:
    """The default of a section: what its settings have by themselves."""
    return Field(default_factory=dict, validate_default=True)


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's fields by the key that a file uses; its own come before those that it inherits."""
    names = (name for kin in model.__mro__ for name in get_annotations(kin))
    found = {name: model.model_fields[name] for name in names if name in model.model_fields}
    return {field.alias or name: field for name, field in found.items()}


def _one_principal(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [{"required": [name]} for name in PRINCIPALS]


class Permission(Model):
    """One grant on the app, to exactly one of a user, a group or a service principal."""

    model_config = ConfigDict(json_schema_extra=_one_principal)

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
    """A value that is a key of the target's secret scope."""

    secret: SecretKey


# Only a reference: an error never repeats the value, which may be the secret itself.
HeldSecret = Annotated[
    SecretReference, Expected("{secret: KEY}, the key of a secret in the scope", confidential=True)
]
