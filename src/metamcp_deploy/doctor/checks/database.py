"""The app's database, by what the workspace says of it."""

from __future__ import annotations

from collections.abc import Iterator

from metamcp_deploy import knowledge
from metamcp_deploy.doctor.finding import Finding
from metamcp_deploy.doctor.subject import Subject


def database(subject: Subject) -> Iterator[Finding]:
    """Whether the database that is attached to the app exists and can be connected to."""
    for trouble in subject.database().hindrances(subject.workspace()):
        yield Finding.known(
            knowledge.by_id(trouble.where, trouble.id),
            subject.place,
            summary=trouble.said,
            evidence=(trouble.evidence,),
        )
