"""What `doctor explain` and `doctor schema` print; neither looks at anything."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from tests import commands


def test_a_known_failure_is_explained(folder: Path) -> None:
    shown = commands.run("doctor", "explain", "secret-gone", folder=folder)
    assert shown.returncode == 0
    for words in (
        "A secret of the app is not in its scope.",
        "Cause",
        "metamcp-deploy start -t TARGET",
        "Sources",
    ):
        assert words in shown.stdout
    document = json.loads(
        commands.run("doctor", "explain", "secret-gone", "-o", "json", folder=folder).stdout
    )
    assert document["id"] == "secret-gone"


def test_a_misspelt_one_and_other_words(folder: Path) -> None:
    near = commands.run("doctor", "explain", "secret-gne", folder=folder)
    assert (near.returncode, "secret-gone" in near.stderr) == (2, True)
    for words in (("explain",), ("what",), ("schema", "x")):
        assert commands.run("doctor", *words, folder=folder).returncode == 2


def test_the_schema_is_one(folder: Path) -> None:
    schema = json.loads(commands.run("doctor", "schema", folder=folder).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    # The contract: names that programs read stay.
    assert set(schema["required"]) == {"schema_version", "status", "target", "app", "duration_ms", "checks"}
    row = schema["properties"]["checks"]["items"]
    assert row["required"] == [
        *("id", "category", "status", "summary", "evidence", "cause", "fix", "doc", "duration_ms"),
    ]
