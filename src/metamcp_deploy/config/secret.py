"""A value that must not be seen: it prints as stars everywhere except where `reveal` is written out."""

from __future__ import annotations

import re

SIGNING_KEY = "metamcp-deploy-signing"  # of records and ledger; an Azure Key Vault takes the name, too
# Of a secret that signs sign-ins: characters below which MetaMCP's authentication library warns, and different ones.
SHORTEST, FEWEST = 32, 10
_PLACEHOLDER = re.compile(
    r"^<.*>$|^\$\{|\b(change|replace)[-_ ]?(me|this|it|with)\b|\byour[-_ ]|placeholder", re.IGNORECASE
)


class Secret:
    """Wraps a secret text. `str`, `repr`, f-strings, logging and JSON encoders never show it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself. Every use of this name is a place to review."""
        return self._value

    def __str__(self) -> str:
        return "********"

    def __repr__(self) -> str:
        return "Secret('********')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __bool__(self) -> bool:
        return bool(self._value)


def placeholder(value: Secret) -> str | None:
    """What is wrong with a text that a template put in a secret's place; None for any other."""
    text = value.reveal().replace("_", "-")
    return "is a placeholder that nobody filled in" if _PLACEHOLDER.search(text) else None


def weakness(value: Secret) -> str | None:
    """Why a value must not sign sign-ins: everybody who guesses it can sign in as anybody. None for a good one."""
    text = value.reveal()
    if wrong := placeholder(value):
        return wrong
    if len(text) < SHORTEST:
        return f"has {len(text)} characters, and a secret that signs sign-ins needs {SHORTEST}"
    if (count := len(set(text))) < FEWEST:
        return f"is made of {count} different characters, and a secret that signs sign-ins needs {FEWEST}"
    return None
