"""What the parts of one embedded workspace share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy.local.apps.process_ledger import Ledger
from metamcp_deploy.local.apps.sign_in import SignIn
from metamcp_deploy.local.files import Files
from metamcp_deploy.local.identity import Identity
from metamcp_deploy.local.lakebase.autoscaling import Databases
from metamcp_deploy.local.lakebase.provisioned import Instances
from metamcp_deploy.local.secret_scopes import SecretScopes
from metamcp_deploy.local.store import Store
from metamcp_deploy.local.timing import Timing


@dataclass(frozen=True)
class Options:
    """How `up` was asked to run it.

    Attributes:
        token_ttl: seconds a database credential lives.
        tls: Postgres speaks TLS only.
        forward_authorization: the proxies hand the caller's workspace token on to the app. Unsure on the platform,
            so an app must work either way; off by default, the stricter of the two for what the app can see.
        realistic: the platform's own times and limits, times this; 0 for neither.
        overlap: on redeploy the old process answers until the new one does. Unsure on the platform; off by default,
            so that there is a gap.
    """

    token_ttl: float = 3600.0
    tls: bool = False
    forward_authorization: bool = False
    realistic: float = 0.0
    overlap: bool = False


@dataclass(frozen=True)
class Site:
    """One embedded workspace.

    Attributes:
        folder: its state (`build/local`).
        url: the workspace's own origin.
        timing: how long things take.
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
    ledger: Ledger
    timing: Timing
