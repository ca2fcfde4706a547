"""The user's browser, where there is one."""

from __future__ import annotations

import os
import sys
import webbrowser


def shows(url: str) -> bool:
    """Opens a page; False where this machine has no browser with a window. BROWSER names another than the usual one.

    A browser of the terminal would take it over: without a display none is looked for.
    """
    named = os.environ.get("BROWSER")
    windows = sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if not (named or windows):
        return False
    try:
        return webbrowser.get(named or None).open(url)
    except webbrowser.Error:
        return False
