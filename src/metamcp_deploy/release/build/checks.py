"""Leaves upstream's lint and type check out of a build; the release is the same, and is proven by running it.

`reproducible.mjs` switches off the checks of `next build`. This module leaves out the type declarations that only
they read, and removes the switches from the configuration that Next writes into its output.
"""

from __future__ import annotations

import re
from pathlib import Path

_DECLARATIONS = re.compile(r"\bdts: true\b")
_CONFIGURED = ("/server.js", "/required-server-files.json")
_NOT_TRACED = b'"outputFileTracingExcludes":{"next-server":["**/node_modules/typescript/**"]}'
_SWITCHES = (
    (b'"ignoreDuringBuilds":true', b'"ignoreDuringBuilds":false'),
    (b'"ignoreBuildErrors":true', b'"ignoreBuildErrors":false'),
    (_NOT_TRACED + b",", b""),
    (b"," + _NOT_TRACED, b""),
)


def leave_out_declarations(tree: Path) -> None:
    """Makes the packages of an unbuilt tree build without type declarations; a package without any stays unchanged."""
    for config in tree.glob("packages/*/tsup.config.*"):
        text = config.read_text()
        without = _DECLARATIONS.sub("dts: false", text)
        if without != text:
            config.write_text(without)


def without_switches(path: str, content: bytes) -> bytes:
    """A file of the release in which Next's configuration has its defaults again, which no server reads.

    Args:
        path: in the archive.
        content: JSON without spaces, as far as it holds the configuration.
    """
    if path.endswith(_CONFIGURED):
        for switch, default in _SWITCHES:
            content = content.replace(switch, default)
    return content
