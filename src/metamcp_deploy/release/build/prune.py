"""Files in Next's standalone output that a running release does not need, with reasons, as data.

Next's tracing copies everything its server could load in any mode: development, building, editors, other bundlers. The
rules come from requesting every page and file of v2.4.22; a test compares the answers of a release with those of the
full output.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

# Packages (fnmatch on their names). What only they need goes with them.
PACKAGES: Mapping[str, str] = {
    "sharp": "native image library; next/image is the only user, and the release holds no native code",
    "@img/*": "sharp's binaries and libvips",
    "typescript": "a compiler: traced by Next for type checks while building",
    "caniuse-lite": "browser data for CSS prefixes, read while building",
    "postcss": "CSS is compiled while building",
}

_DIST = "node_modules/next/dist"
_COMPILED = f"{_DIST}/compiled"
_BUNDLING = "the bundler with its loaders and plugins"
_BROWSER = "stand-ins for Node's modules that the bundler puts into scripts for browsers"

# Files (fnmatch on the path in the archive; `*` crosses folders).
FILES: Mapping[str, str] = {
    "*.map": "source maps",
    "*.nft.json": "Next's own trace of which files to copy",
    "*.d.ts": "types",
    "*.tsbuildinfo": "the compiler's state",
    "node_modules/react*.development.js": "React for development",
    f"{_COMPILED}/next-server/*-turbo*": "pages built by Turbopack; the release's are built by webpack",
    f"{_COMPILED}/next-devtools/*": "the overlay for development",
    f"{_COMPILED}/react-refresh/*": "reloading for development",
    f"{_DIST}/client/dev/*": "reloading for development",
    f"{_COMPILED}/amphtml-validator/*": "validation of AMP pages, in development",
    f"{_DIST}/server/capsize-font-metrics.json": "measures of fonts, used while building",
    f"{_COMPILED}/@next/font/*": "fonts, fetched while building",
    f"{_COMPILED}/babel-packages/*": _BUNDLING,
    f"{_DIST}/build/babel/*": _BUNDLING,
    f"{_DIST}/build/webpack/*": _BUNDLING,
    f"{_DIST}/build/webpack-config*.js": _BUNDLING,
    **{
        f"{_COMPILED}/{name}/*": _BUNDLING
        for name in (
            *("acorn", "browserslist", "cssnano-simple", "icss-utils", "loader-utils[23]"),
            *("mini-css-extract-plugin", "neo-async", "postcss-*", "sass-loader", "schema-utils3"),
            *("webpack-sources3",),
        )
    },
    **{
        f"{_COMPILED}/{name}/*": _BROWSER
        for name in (
            *(
                "*-browserify",
                "assert",
                "browserify-zlib",
                "buffer",
                "constants-browserify",
                "domain-browser",
            ),
            *(
                "events",
                "punycode",
                "querystring-es3",
                "setimmediate",
                "stream-http",
                "string_decoder",
                "util",
            ),
        )
    },
    f"{_COMPILED}/tar/*": "unpacking of compilers that Next downloads while building",
    f"{_COMPILED}/comment-json/*": "editing of tsconfig.json while building",
    f"{_DIST}/lib/typescript/*": "type checks while building",
    f"{_DIST}/server/typescript/*": "help for editors",
}


def reason(path: str) -> str | None:
    """Why a file (by its path in the archive) is left out, or None."""
    return next((why for pattern, why in FILES.items() if fnmatchcase(path, pattern)), None)


def package_reason(name: str) -> str | None:
    """Why a package is left out, or None."""
    return next((why for pattern, why in PACKAGES.items() if fnmatchcase(name, pattern)), None)
