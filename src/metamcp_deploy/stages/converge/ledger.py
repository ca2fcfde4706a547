"""What a target made, `<root>/state/metamcp-deploy.json`: what plans call ours, and all that `destroy` may delete.

Written before a thing is made, so that a run which is killed in between has claimed it already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.stages.converge.plan import OURS

if TYPE_CHECKING:
    from metamcp_deploy.workspace.files import Files

NAME = "metamcp-deploy.json"
_LISTS = ("secrets", "branches")


@dataclass(frozen=True)
class Ledger:
    """What was made: `app`, `project`, `branch`, `endpoint`, `database`, `role`, `instance`, `scope` → name.

    Attributes:
        made: and `secrets` → keys of the scope, `branches` → those that rollbacks made of a database's past.
    """

    made: Mapping[str, Any] = field(default_factory=dict)

    def has(self, what: str, name: str) -> bool:
        """Whether the target made this thing."""
        found = self.made.get(what)
        return name in found if isinstance(found, list) else found == name

    def owner(self, what: str, name: str, otherwise: str = "") -> str:
        """Whose it is, in words."""
        return OURS if self.has(what, name) else otherwise

    def plus(self, made: Mapping[str, Any]) -> Ledger:
        """With these things; lists grow."""
        lists = {k: sorted({*self.made.get(k, []), *made[k]}) for k in _LISTS if k in made}
        return replace(self, made={**self.made, **made, **lists})

    def less(self, what: str, name: str) -> Ledger:
        """Without this thing; the others of a list stay."""
        held = self.made.get(what)
        rest = [one for one in held if one != name] if isinstance(held, list) else []
        return replace(self, made={**self.made, what: rest}) if rest else self.without(what)

    def without(self, *what: str) -> Ledger:
        """Without these things."""
        return replace(self, made={k: v for k, v in self.made.items() if k not in what})


def read(files: Files, root: str) -> Ledger:
    """The target's ledger; an empty one where there is none.

    Raises:
        DeployError: WORKSPACE_ANSWER, when it is not what this tool wrote.
    """
    path = f"{root}/state/{NAME}"
    content = files.read(path)
    if content is None:
        return Ledger()
    try:
        document = json.loads(content)
        return Ledger(dict(document["made"]))
    except (ValueError, KeyError, TypeError) as e:
        raise DeployError(
            Code.WORKSPACE_ANSWER,
            f"{path} is not what this tool wrote ({type(e).__name__}): it cannot be told what is whose.",
            hint=f"Look at it: databricks workspace export {path}. Deleted, all that is there counts as not ours.",
        ) from e


def write(files: Files, root: str, ledger: Ledger) -> None:
    """Writes the ledger; the folder exists, as the lock is in it."""
    content = {"format": 1, "made": dict(ledger.made)}
    files.write(f"{root}/state/{NAME}", json.dumps(content, indent=1).encode())
