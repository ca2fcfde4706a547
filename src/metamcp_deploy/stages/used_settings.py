"""What a run checks of its settings when it uses them, checked before: addresses, the ref, proxies, certificates."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from metamcp_deploy.config.model import Settings
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.network import npm
from metamcp_deploy.network.proxies import Proxies
from metamcp_deploy.network.trust import Trust
from metamcp_deploy.upstream import address, refs


def check(targets: Sequence[Settings], folder: Path) -> None:
    """Checks the settings of all targets, and reaches nothing.

    Raises:
        DeployError: the only problem; or CONFIG_INVALID with all of them.
    """
    found = {error.message: error for settings in targets for error in _problems(settings, folder)}
    errors = list(found.values())
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise DeployError(
            Code.CONFIG_INVALID,
            f"The configuration has {len(errors)} problems. The first: {errors[0].message}",
            hint=errors[0].hint,
            detail="\n".join(found),
        )


def _problems(settings: Settings, folder: Path) -> Iterator[DeployError]:
    network = settings.network
    uses: tuple[Callable[[], object], ...] = (
        lambda: address.checked(settings.upstream.url, folder),
        lambda: refs.check(settings.upstream.ref),
        lambda: Trust.of(network.ca_bundle, os.environ),
        lambda: Proxies.of(network.proxy, network.no_proxy, os.environ),
        lambda: npm.checked_registry(network.npm_registry, os.environ),
    )
    for use in uses:
        try:
            use()
        except DeployError as e:
            yield e
