"""The settings, the login and the workspace."""

from __future__ import annotations

from collections.abc import Iterator

from metamcp_deploy import knowledge
from metamcp_deploy.doctor.finding import Finding
from metamcp_deploy.doctor.subject import Subject


def configuration(subject: Subject) -> Iterator[Finding]:
    """Whether the settings can be read."""
    subject.project()
    yield from ()


def login(subject: Subject) -> Iterator[Finding]:
    """Whether somebody is logged in, by a login that apps accept."""
    found = subject.workspace().login
    if not found.oauth:
        yield Finding.known(
            knowledge.by_id("client", "personal-token"),
            subject.place,
            summary=f"{found.source} logs in with {found.kind}, which opens no app",
        )


def workspace(subject: Subject) -> Iterator[Finding]:
    """Whether the workspace answers this login."""
    subject.person()
    yield from ()
