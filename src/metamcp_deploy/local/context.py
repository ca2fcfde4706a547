"""The parts of one embedded workspace, for those that need several of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy.local.apps.process_ledger import Ledger
from metamcp_deploy.local.apps.sign_in import SignIn
from metamcp_deploy.local.faults.injection import Faults
from metamcp_deploy.local.files import Files
from metamcp_deploy.local.identity import Identity
from metamcp_deploy.local.lakebase.autoscaling import Databases
from metamcp_deploy.local.lakebase.doors import Doors
from metamcp_deploy.local.lakebase.provisioned import Instances
from metamcp_deploy.local.options import Options
from metamcp_deploy.local.secret_scopes import SecretScopes
from metamcp_deploy.local.store import Store
from metamcp_deploy.local.timing import Timing


@dataclass(frozen=True)
class Context:
    """One embedded workspace.

    Attributes:
        folder: its state (`build/local`).
        url: the workspace's own origin.
        timing: how long things take.
        faults: what fails on request.
    """

    folder: Path
    url: str
    options: Options
    store: Store
    identity: Identity
    sign_in: SignIn
    files: Files
    secrets: SecretScopes
    databases: Databases
    instances: Instances
    doors: Doors
    ledger: Ledger
    timing: Timing
    faults: Faults
