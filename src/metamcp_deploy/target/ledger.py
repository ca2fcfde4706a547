"""The ledger, `<root>/state/metamcp-deploy.json`: what a target made, and so all that `destroy` may delete.

A run records what it is about to make, with its login, and claims each thing once it is made. After a run that was
killed, or that lost an answer, `converge.ownership` decides whether an existing thing is the intended one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from metamcp_deploy import resources
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import OURS
from metamcp_deploy.target import signing

if TYPE_CHECKING:
    from metamcp_deploy.target.site import Site

NAME = "metamcp-deploy.json"
FORMAT = 2
Things = Mapping[str, Iterable[str]]  # kind → whole names, as `Ledger.made`


@dataclass(frozen=True)
class Intent:
    """Who was about to make a thing, and when (RFC 3339)."""

    by: str
    at: str


@dataclass(frozen=True)
class Ledger:
    """What a target made, and what it was about to make.

    Attributes:
        made: `app`, `project`, `branch`, `endpoint`, `database`, `role`, `instance`, `scope`, `secrets` and `branches`
            (those that rollbacks made of a database's past) → their whole names, former ones, too; a secret's is
            `SCOPE/KEY`.
        intended: kind → name → by whom; not known to be made.
        unproven: kind → names, made or intended by a ledger without a valid signature: somebody who may write to the
            root may have named them.
        signed: whether it carried a valid signature as it was read.
    """

    made: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    intended: Mapping[str, Mapping[str, Intent]] = field(default_factory=dict)
    unproven: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    signed: bool = field(default=True, compare=False)

    def proves(self, what: str, name: str, said: bool | None = None) -> bool:
        """Whether the target made this thing.

        Args:
            what: kind of it.
            name: of it.
            said: whether the thing itself says so, which counts more than any ledger; None where it says nothing.
        """
        return self.has(what, name) and (name not in self.unproven.get(what, ()) if said is None else said)

    def proven(self, what: str, name: str) -> Ledger:
        """With this thing as one that needs no other proof."""
        left = tuple(n for n in self.unproven.get(what, ()) if n != name)
        return replace(self, unproven={k: v for k, v in {**self.unproven, what: left}.items() if v})

    def names(self, what: str) -> tuple[str, ...]:
        """All of a kind that the target made."""
        return self.made.get(what, ())

    def has(self, what: str, name: str) -> bool:
        """Whether the target made this thing."""
        return name in self.names(what)

    def intends(self, what: str, name: str) -> bool:
        """Whether the target was about to make this thing."""
        return name in self.intended.get(what, {})

    def owner(self, what: str, name: str, otherwise: str = "", said: bool | None = None) -> str:
        """Who owns it, for people; `said` as of `proves`."""
        return OURS if self.proves(what, name, said) else otherwise

    def intending(self, things: Things, by: str) -> Ledger:
        """With these things, which are not there, as intended; one that the target made before is gone by now."""
        left = self
        for what, names in things.items():
            left = left.less(what, *names)
        intent = Intent(by, datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"))
        intended = {what: dict(names) for what, names in left.intended.items()}
        for what, names in things.items():
            intended[what] = {**intended.get(what, {}), **dict.fromkeys(names, intent)}
        return replace(left, intended=_filled(intended))

    def plus(self, things: Things) -> Ledger:
        """With these things as made."""
        more = {what: tuple(sorted({*self.names(what), *names})) for what, names in things.items()}
        made = {**self.made, **{what: names for what, names in more.items() if names}}
        intended = {
            what: {name: intent for name, intent in names.items() if name not in more.get(what, ())}
            for what, names in self.intended.items()
        }
        return replace(self, made=made, intended=_filled(intended))

    def less(self, what: str, *names: str) -> Ledger:
        """Without these things of a kind, be they made or intended."""
        made = {k: tuple(n for n in v if k != what or n not in names) for k, v in self.made.items()}
        intended = {
            k: {n: intent for n, intent in v.items() if k != what or n not in names}
            for k, v in self.intended.items()
        }
        left = replace(self, made={k: v for k, v in made.items() if v}, intended=_filled(intended))
        for name in names:
            left = left.proven(what, name)
        return left


def _filled(intended: Mapping[str, Mapping[str, Intent]]) -> dict[str, Mapping[str, Intent]]:
    return {what: names for what, names in intended.items() if names}


def path_of(root: str) -> str:
    """Where the ledger of a root is."""
    return f"{root}/state/{NAME}"


def read(site: Site) -> Ledger:
    """The target's ledger; an empty one where there is none, one that proves nothing without a valid signature.

    Raises:
        DeployError: WORKSPACE_ANSWER, when it is not what this tool wrote.
    """
    path = path_of(site.root)
    content = site.workspace.files.read(path)
    if content is None:
        return Ledger()
    try:
        document = resources.parsed_json(content)
        found = _ledger(document)
        return found if signing.verified(site, path, document) else _unproven(found)
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise DeployError(
            Code.WORKSPACE_ANSWER,
            f"{path} is not what this tool wrote ({type(e).__name__}): nobody can say what this target made.",
            hint=f"Look at it: databricks workspace export {path}. Without it, no existing thing counts as ours.",
        ) from e


def intends(site: Site, what: str, name: str) -> bool:
    """Whether a run of this target was about to make a thing; an unsigned ledger counts where none can be signed."""
    found = read(site)
    doubtful = name in found.unproven.get(what, ()) and signing.of(site).strict
    return found.intends(what, name) and not doubtful


def _ledger(document: Mapping[str, Any]) -> Ledger:
    if document.get("format", 1) == 1:
        return Ledger(_older(document["made"]))
    intended = {
        what: {name: Intent(**intent) for name, intent in names.items()}
        for what, names in document.get("intended", {}).items()
    }
    made, unproven = (
        {what: tuple(names) for what, names in document.get(part, {}).items()}
        for part in ("made", "unproven")
    )
    return Ledger(made, intended, unproven)


def _unproven(found: Ledger) -> Ledger:
    kinds = {*found.made, *found.intended}
    named = {k: tuple(sorted({*found.names(k), *found.intended.get(k, ())})) for k in sorted(kinds)}
    return replace(found, unproven=named, signed=False)


def _older(made: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Format 1: one name of a kind, apps of before under `former`, keys without their scope."""
    lists = {k: tuple(map(str, v)) if isinstance(v, list) else (str(v),) for k, v in made.items() if v}
    apps = {*lists.pop("former", ()), *lists.get("app", ())}
    # A key alone does not name its scope, which belongs to others: it is left to them.
    keys = {f"{scope}/{key}" for scope in lists.get("scope", ()) for key in lists.pop("secrets", ())}
    lists.pop("secrets", None)
    found = {**lists, "app": tuple(sorted(apps)), "secrets": tuple(sorted(keys))}
    return {what: names for what, names in found.items() if names}


def write(site: Site, ledger: Ledger) -> None:
    """Writes the ledger, signed; the folder exists, as the lock is in it."""
    intended = {
        what: {name: asdict(intent) for name, intent in names.items()}
        for what, names in ledger.intended.items()
    }
    content = {
        "format": FORMAT,
        "made": {what: list(names) for what, names in ledger.made.items()},
        **({"intended": intended} if intended else {}),
        **({"unproven": {k: list(v) for k, v in ledger.unproven.items()}} if ledger.unproven else {}),
    }
    signing.write(site, path_of(site.root), content)


@contextmanager
def claiming(site: Site, things: Things) -> Iterator[None]:
    """Claims what is made within: as intended before, as made after. The lock is held."""
    wanted = {what: names for what, names in things.items() if names}
    if not wanted:
        yield
        return
    intended = read(site).intending(wanted, site.workspace.me)
    write(site, intended)
    yield
    write(site, intended.plus(wanted))
