"""What Next's standalone output holds that a running release does not need, and why, as data."""

from __future__ import annotations

from collections.abc import Mapping

# Packages (fnmatch on their names). What only they need goes with them.
PACKAGES: Mapping[str, str] = {
    "sharp": "native image library; next/image is the only user, and the release holds no native code",
    "@img/*": "sharp's binaries and libvips",
    "typescript": "a compiler: traced by Next for type checks while building",
    "caniuse-lite": "browser data for CSS prefixes, read while building",
}

# Files (fnmatch on the path in the archive; `*` crosses folders).
FILES: Mapping[str, str] = {
    "*.map": "source maps",
    "*.nft.json": "Next's own trace of which files to copy",
    "*.d.ts": "types",
    "*.tsbuildinfo": "the compiler's state",
}
