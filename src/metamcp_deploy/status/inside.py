"""What the launcher knows, as `status` shows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from metamcp_deploy.deployments.launcher_document import Document, Service

SERVICES = ("backend", "frontend")


@dataclass(frozen=True)
class Inside:
    """A launcher's document; times are counted by the launcher's clock, whatever this machine's says."""

    document: Document

    def service(self, name: str) -> Service:
        """One of `SERVICES`."""
        found: Service = getattr(self.document.services, name)
        return found

    def uptime(self, name: str) -> float | None:
        """Seconds for which a service has answered; None while it does not."""
        since, started = _moment(self.service(name).since or ""), _moment(self.document.started)
        if since is None or started is None:
            return None
        return max(0.0, started + self.document.uptime_seconds - since)

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        found = self.document
        return {
            "status": found.status,
            "step": found.step,
            "uptime_seconds": found.uptime_seconds,
            "services": {name: self._service(name) for name in SERVICES},
            "token_age_seconds": found.token.age_seconds,
            "credential": {
                "kind": found.credential.kind,
                "age_seconds": found.credential.age_seconds,
                "expires_in_seconds": found.credential.expires_in_seconds,
                "renewals": found.credential.renewals,
                "failures": found.credential.failures,
            },
            "memory": asdict(found.memory),
            "sessions": {
                "open": found.sessions.open,
                "oldest_idle_seconds": found.sessions.oldest_idle_seconds,
            },
            "processes": {
                "count": found.processes.count,
                "memory_bytes": found.processes.memory_bytes,
                "by_server": [asdict(one) for one in found.processes.by_server],
            },
            "pool": found.database_pool and asdict(found.database_pool),
        }

    def _service(self, name: str) -> dict[str, Any]:
        one = self.service(name)
        return {
            "up": one.up,
            "since": one.since,
            "uptime_seconds": self.uptime(name),
            "restarts": one.restarts,
            "memory_bytes": one.memory_bytes,
        }


def _moment(said: str) -> float | None:
    try:
        return datetime.fromisoformat(said).timestamp()
    except ValueError:
        return None
