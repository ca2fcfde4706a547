"""Decides whether an existing thing was created by an interrupted run: its answer was lost, or it was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metamcp_deploy.converge.kinds import PARTS
from metamcp_deploy.target.ledger import Ledger

if TYPE_CHECKING:
    from metamcp_deploy.target.site import Site
    from metamcp_deploy.workspace import Workspace


def recognised(site: Site, ledger: Ledger) -> Ledger:
    """The ledger once what was intended is decided; no request where nothing was intended.

    A thing counts as made where the login that intended it created it, or where it lies in something the target made.
    One that somebody else created, or that says it is another target's, is claimed no more. A thing that does not
    exist, or has no known creator, stays intended.
    """
    workspace = site.workspace
    for kind in (kind for part in PARTS for kind in part.kinds):
        for name, intent in ledger.intended.get(kind.name, {}).items():
            creator = kind.creator(workspace, name)
            mine = bool(creator) and creator == intent.by
            if mine and kind.marked(workspace, name, site.root) is not False:
                ledger = ledger.plus({kind.name: [name]})
            elif creator:
                ledger = ledger.less(kind.name, name)
    return _with_contents(workspace, ledger)


def proven(site: Site, ledger: Ledger) -> Ledger:
    """An unsigned ledger once it is held against what the workspace says of the things, before it is signed.

    A thing counts where it says so itself, or says nothing and this login created it, or where it lies in something
    that counts. All else stays unproven.
    """
    workspace = site.workspace
    for kind in (kind for part in PARTS for kind in part.kinds):
        for name in ledger.unproven.get(kind.name, ()):
            if kind.made_here(workspace, name, site.root):
                ledger = ledger.proven(kind.name, name)
    made = [
        (what, name) for what, names in ledger.made.items() for name in names if ledger.proves(what, name)
    ]
    for part in PARTS:
        for kind, name in (thing for one in made for thing in part.contents(ledger, *one)):
            if part.counts_inside(site.project.settings, kind, name):
                ledger = ledger.proven(kind.name, name)
    return ledger


def _with_contents(workspace: Workspace, ledger: Ledger) -> Ledger:
    made = [(what, name) for what, names in ledger.made.items() for name in names]
    for kind, name in (thing for part in PARTS for one in made for thing in part.contents(ledger, *one)):
        if ledger.intends(kind.name, name) and kind.exists(workspace, name):
            ledger = ledger.plus({kind.name: [name]})
    return ledger
