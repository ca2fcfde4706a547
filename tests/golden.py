"""Golden files: `UPDATE_GOLDEN=1 pytest …` writes them anew; read the difference before it is committed."""

from __future__ import annotations

import os
from pathlib import Path


def check(path: Path, text: str) -> None:
    """Compares a text with a golden file; an empty text has no file."""
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if not text:
            path.unlink()
    golden = path.read_text() if path.exists() else ""
    assert text == golden, f"{path}: UPDATE_GOLDEN=1 writes it anew"
