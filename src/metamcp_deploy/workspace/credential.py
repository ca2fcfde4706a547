"""A database credential: the password of one login for one endpoint or instance, for an hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError


@dataclass(frozen=True)
class Credential:
    """A password and when it ends; None where the workspace does not say."""

    password: Secret
    ends: datetime | None

    @classmethod
    def of(cls, answer: Mapping[str, Any], place: str) -> Credential:
        """As either API spells it (`expire_time`, `expiration_time`).

        Raises:
            DeployError: WORKSPACE_ANSWER without a token.
        """
        token = answer.get("token")
        if not isinstance(token, str) or not token:
            raise DeployError(
                Code.WORKSPACE_ANSWER,
                f"The workspace was asked for a database credential for {place} and answered without a token.",
                hint="Run the same command again; if it answers so again, report it to the platform's support.",
                detail=f"fields of the answer: {', '.join(sorted(answer)) or 'none'}",
            )
        try:
            ends = datetime.fromisoformat(str(answer.get("expire_time") or answer.get("expiration_time")))
        except ValueError:
            ends = None
        return cls(Secret(token), ends)
