"""Trusted certificates: the system's, Mozilla's, and those that the settings or the environment name.

Variables of tools differ: NODE_EXTRA_CA_CERTS adds certificates, GIT_SSL_CAINFO and REQUESTS_CA_BUNDLE replace all. For
the latter, one combined file is kept in the cache under the digest of its content.

A store is read and checked once in a process, unless its file changes: that takes 60 ms, and each connection asks.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from metamcp_deploy import atomic, resources
from metamcp_deploy.errors import Code, DeployError

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s.+?-----END CERTIFICATE-----", re.DOTALL)
_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
)
# Where Linux distributions and macOS keep the system's store as one file, for builds of Python that look elsewhere.
_SYSTEM_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True)
class Trust:
    """Certificates that were named, in PEM; `named` is empty when each tool's own store is enough.

    `kept` is the folder for the files made of them; None is the user's cache.
    """

    named: tuple[str, ...]
    kept: Path | None = None

    @classmethod
    def of(cls, ca_bundle: Path | None, environ: Mapping[str, str], kept: Path | None = None) -> Trust:
        """Reads the bundle of the settings, else those that the usual variables name.

        Raises:
            DeployError: CONFIG_INVALID naming the setting or variable, and what is wrong with its file.
        """
        if ca_bundle is not None:
            return cls(tuple(_read(ca_bundle.expanduser(), "network.ca_bundle")), kept)
        # Often all of them name one file, and checking a whole store takes 50 ms.
        origins: dict[str, str] = {}
        for name in _VARIABLES:
            if environ.get(name):
                origins.setdefault(environ[name], f"The environment variable {name}")
        named = [c for path, origin in origins.items() for c in _read(Path(path), origin)]
        return cls(tuple(dict.fromkeys(named)), kept)

    def combined(self) -> Path:
        """A file with Mozilla's, the system's and the named certificates, for tools whose setting replaces all."""
        import certifi

        default = ssl.get_default_verify_paths()
        stores = [certifi.where(), default.openssl_cafile, *_SYSTEM_STORES]
        found = [c for s in stores if Path(s).is_file() for c in _certificates(Path(s))]
        return self._file((*found, *self.named))

    def extra(self) -> Path | None:
        """A file with the named certificates alone, for tools that add it to their own; None when none are named."""
        return self._file(self.named) if self.named else None

    def _file(self, certificates: Iterable[str]) -> Path:
        content = "\n".join(dict.fromkeys(certificates)).encode() + b"\n"
        folder = self.kept or resources.cache_folder() / "certificates"
        path = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.pem"
        if not path.exists():
            atomic.write(path, content)
        return path


def _certificates(path: Path) -> list[str]:
    status = path.stat()
    return list(_content(path.absolute(), status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=64)
def _content(path: Path, modified: int, size: int) -> tuple[str, ...]:
    return tuple(_CERTIFICATE.findall(path.read_text(encoding="utf-8", errors="replace")))


@lru_cache(maxsize=16)
def _checked(certificates: str) -> None:
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificates)


def _read(path: Path, origin: str) -> list[str]:
    """The certificates in a file, or in the files of a folder (which requests and OpenSSL take, too)."""
    try:
        files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
        found = [c for f in files for c in _certificates(f)]
        if not found:
            raise _invalid(path, origin, "it holds no certificate (-----BEGIN CERTIFICATE-----)")
        _checked("\n".join(found))
    except ssl.SSLError as e:
        raise _invalid(path, origin, f"a certificate in it is damaged ({e.reason or e})") from e
    except OSError as e:
        raise _invalid(path, origin, e.strerror or str(e)) from e
    return found


def _invalid(path: Path, origin: str, problem: str) -> DeployError:
    return DeployError(
        Code.CONFIG_INVALID,
        f"{origin} names the certificates in {path}, but they cannot be used: {problem}.",
        hint=f"Let {origin.removeprefix('The environment variable ')} name a readable PEM file of certificates.",
    )
