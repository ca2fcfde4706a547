"""The certificate authority of an embedded workspace with `--tls`: made once, kept in its state folder."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from metamcp_deploy.errors import Code, DeployError


class Authority:
    """A private CA.

    Args:
        folder: where its certificate (`ca.pem`, which clients are given) and key (0600) are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def ca_file(self) -> Path:
        """The CA's certificate, for NODE_EXTRA_CA_CERTS, PGSSLROOTCERT and the like."""
        return self._folder / "ca.pem"

    def server_context(self, *names: str) -> ssl.SSLContext:
        """What a server needs to answer as these host names or addresses.

        Raises:
            DeployError: EXTRA_MISSING; LOCAL_FAILED when the kept files are damaged.
        """
        try:
            import trustme
        except ImportError as e:
            raise DeployError(
                Code.EXTRA_MISSING,
                "TLS in the embedded workspace needs the extra `local`, which is not installed.",
                hint="pip install 'metamcp-deploy[local]'",
            ) from e
        key_file = self._folder / "ca.key"
        if not key_file.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            made = trustme.CA(organization_name="metamcp-deploy embedded workspace")
            self.ca_file.write_bytes(made.cert_pem.bytes())
            descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as f:
                f.write(made.private_key_pem.bytes())
        try:
            authority = trustme.CA.from_pem(self.ca_file.read_bytes(), key_file.read_bytes())
        except (OSError, ValueError) as e:
            raise DeployError(
                Code.LOCAL_FAILED,
                f"The embedded workspace's certificate authority in {self._folder} cannot be read: {e}.",
                hint=f"rm -r {self._folder}, then start the embedded workspace again.",
            ) from e
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(*names).configure_cert(context)
        return context
