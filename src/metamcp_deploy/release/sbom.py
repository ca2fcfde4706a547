"""The release's bill of materials: CycloneDX 1.6 in JSON, the same bytes for the same lockfile and pin."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from metamcp_deploy import __version__
from metamcp_deploy.release.build.lockfile import Package, Shipped

if TYPE_CHECKING:
    from cyclonedx.model import HashType
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

NAME = "sbom.cdx.json"
_NAMESPACE = uuid.UUID("0d1b5a7e-6f2c-4f0b-9c55-3f0f6b1d9e21")  # of this tool's bills of materials


def of_release(shipped: Shipped, tree: Path, release_id: str, upstream: Mapping[str, str | None]) -> str:
    """The document: one component for each package, with its hash and, where its package.json has one, its licence.

    It holds no time, and its serial number is made from its content.

    Args:
        shipped: the packages.
        tree: with its dependencies installed.
        release_id: of the release it describes.
        upstream: `url`, `ref`, `commit`.
    """
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    gateway = Component(
        name="metamcp",
        type=ComponentType.APPLICATION,
        version=upstream["ref"],
        bom_ref="metamcp",
        purl=_source(upstream),
        properties=[
            Property(name="metamcp-deploy:commit", value=upstream["commit"]),
            Property(name="metamcp-deploy:release", value=release_id),
        ],
    )
    tool = Component(name="metamcp-deploy", type=ComponentType.APPLICATION, version=__version__)
    bom = Bom(metadata=BomMetaData(component=gateway, tools=[]))
    bom.metadata.tools.components.add(tool)
    licences = _licences(tree)
    components = {(p.name, p.version): _component(p, licences) for p in shipped.packages}
    bom.components.update(components.values())
    bom.register_dependency(gateway, [components[one] for one in shipped.direct])
    for package in shipped.packages:
        own = components[package.name, package.version]
        bom.register_dependency(own, [components[need] for need in package.needs])
    return _settled(json.loads(JsonV1Dot6(bom).output_as_string()))


def _settled(document: dict[str, Any]) -> str:
    """Without what the library makes different each time."""
    document["metadata"].pop("timestamp", None)
    document.pop("serialNumber", None)
    serial = uuid.uuid5(_NAMESPACE, json.dumps(document, sort_keys=True))
    return json.dumps({**document, "serialNumber": f"urn:uuid:{serial}"}, indent=1, sort_keys=True) + "\n"


def _component(package: Package, licences: Mapping[tuple[str, str], str]) -> Component:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    scope, _, name = package.name.rpartition("/")
    purl = PackageURL("npm", scope or None, name, package.version)
    text = licences.get((package.name, package.version))
    return Component(
        name=name,
        group=scope or None,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        hashes=_hashes(package.integrity),
        licenses=[LicenseFactory().make_from_string(text)] if text else [],
    )


def _hashes(integrity: str) -> Iterator[HashType]:
    from cyclonedx.model import HashAlgorithm, HashType

    known = {
        "sha512": HashAlgorithm.SHA_512,
        "sha384": HashAlgorithm.SHA_384,
        "sha256": HashAlgorithm.SHA_256,
    }
    for one in integrity.split():
        name, _, digest = one.partition("-")
        if name in known:
            yield HashType(alg=known[name], content=base64.b64decode(digest).hex())


def _source(upstream: Mapping[str, str | None]) -> PackageURL | None:
    """pkg:github/<owner>/<name>@<commit>, for an upstream that is there."""
    from packageurl import PackageURL

    parts = urlsplit(upstream["url"] or "")
    words = parts.path.strip("/").removesuffix(".git").split("/")
    if parts.hostname != "github.com" or len(words) != 2:
        return None
    return PackageURL("github", words[0], words[1], upstream["commit"])


def _licences(tree: Path) -> dict[tuple[str, str], str]:
    """(name, version) → what `license` in package.json says, for all that is installed."""
    found = {}
    for pattern in ("*/node_modules/*/package.json", "*/node_modules/@*/*/package.json"):
        for path in (tree / "node_modules" / ".pnpm").glob(pattern):
            if path.parent.is_symlink():
                continue
            try:
                about = json.loads(path.read_bytes())
                said = about.get("license") or (about.get("licenses") or [None])[0]
                said = said.get("type") if isinstance(said, dict) else said
                if isinstance(said, str) and said.strip():
                    found[str(about["name"]), str(about["version"])] = said.strip()
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # a package's own test data, or a sloppy package: its licence stays unknown
    return found
