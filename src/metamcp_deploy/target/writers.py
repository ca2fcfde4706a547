"""Who may write to a target's root: whoever can, decides with its owner which release, record and ledger lie there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    from metamcp_deploy.target.site import Site
    from metamcp_deploy.workspace import Workspace

_WRITING = frozenset({"CAN_EDIT", "CAN_MANAGE", "IS_OWNER"})
_EVERYBODY = frozenset({"users", "account users"})
_HOMES = "/Workspace/Users/"


@dataclass(frozen=True)
class Writers:
    """Who may write to a folder.

    Attributes:
        path: of the folder whose access list counts: the root, or the nearest one above it that exists.
        others: users, groups and principals beside this login, the home folder's owner and the administrators; None
            where the access list may not be read.
    """

    path: str
    others: tuple[str, ...] | None

    @property
    def everybody(self) -> bool:
        """Whether a group of all users is among them."""
        return bool(_EVERYBODY & set(self.others or ()))

    def __str__(self) -> str:
        if self.others is None:
            return "who may write there cannot be read"
        return f"also written by {', '.join(self.others)}" if self.others else "nobody else may write there"


def look(workspace: Workspace, root: str) -> Writers:
    """Two requests where the root exists, one more for each folder that does not; only reads."""
    path, found = root, None
    try:
        while (found := workspace.files.object_id(path)) is None and path.count("/") > 1:
            path = path.rsplit("/", 1)[0]
        granted = workspace.permissions.granted("directories", found) if found else None
    except DeployError as e:
        if e.code not in (Code.PERMISSION_DENIED, Code.NOT_FOUND, Code.REQUEST_REFUSED):
            raise
        granted = None
    if granted is None:
        return Writers(path, None)
    owners = {workspace.me, "admins"}
    owners |= {root.removeprefix(_HOMES).partition("/")[0]} if root.startswith(_HOMES) else set()
    return Writers(path, tuple(sorted({n for (_, n), held in granted.items() if held & _WRITING} - owners)))


def allow(site: Site) -> None:
    """Refuses to deploy to a protected target from a root that everybody may write to.

    Raises:
        DeployError: TARGET_PROTECTED.
    """
    target = site.project.settings.target
    if not site.project.settings.protected or not (found := look(site.workspace, site.root)).everybody:
        return
    raise DeployError(
        Code.TARGET_PROTECTED,
        f"Target `{target}` is protected, and everybody in {site.workspace.host} may write to {found.path}: anybody "
        "could change what runs, and what is deleted.",
        hint=OWN_FOLDER.format(target=target),
    )


OWN_FOLDER = (
    "Set workspace.root_path of target {target} to a folder of the principal that deploys, such as "
    "/Workspace/Users/<its name>/metamcp, and give named deployers CAN MANAGE on it (docs/permissions.md). The things "
    "stay; releases and records begin anew there, and the app is taken over with --adopt."
)
