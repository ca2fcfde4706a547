"""The table of the fault matrix stands at the end of the test run, also where all went well."""

from __future__ import annotations

import pytest

from tests.faults.fault_cases import Row, table

_rows = pytest.StashKey[list[Row]]()


@pytest.fixture
def told(pytestconfig: pytest.Config) -> list[Row]:
    """Rows that are shown at the end."""
    return pytestconfig.stash.setdefault(_rows, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Writes the table."""
    if rows := config.stash.get(_rows, []):
        terminalreporter.section("fault matrix")
        terminalreporter.write_line("\n".join(table(rows)))
