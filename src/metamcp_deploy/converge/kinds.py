"""The kinds of things that a target consists of: one line each."""

from __future__ import annotations

from metamcp_deploy.converge.part import Part
from metamcp_deploy.converge.parts.app.part import AppPart
from metamcp_deploy.converge.parts.grants import Grants
from metamcp_deploy.converge.parts.instance import InstancePart
from metamcp_deploy.converge.parts.lakebase.part import LakebasePart
from metamcp_deploy.converge.parts.scope import Scope
from metamcp_deploy.converge.parts.upload import ReleasePart

# In the order of making: each group needs the one before it, and its members need nothing of each other.
GROUPS: tuple[tuple[type[Part], ...], ...] = (
    (LakebasePart, InstancePart, Scope),
    (
        AppPart,
    ),  # before anything is sent: it is what a workspace refuses most, a database that is not there above all
    (Grants, ReleasePart),
)
PARTS = tuple(part for group in reversed(GROUPS) for part in group)  # in the order of deleting
