"""`health` for monitoring: Prometheus' text format for a textfile collector, and a plugin's line as Nagios reads it.

Sources: prometheus.io, "Exposition formats"; monitoring-plugins.org, "Development guidelines" (exit codes, performance
data).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence

from metamcp_deploy.doctor.deep import RANK, Line, State

_MOST = 400  # characters of a line that goes to a pager


def worst(lines: Sequence[Line], app: State) -> State:
    """What all together are; the app's own state counts as one of them."""
    states = {app, *(line.state for line in lines)}
    return next(state for state in RANK if state in states)


def nagios(state: State, said: str, lines: Sequence[Line]) -> str:
    """`METAMCP OK - … | 'alive'=0.012s;;;0`: a line, and performance data."""
    text = " ".join(said.replace("|", "/").split())
    text = text if len(text) <= _MOST else text[: _MOST - 1] + "…"
    return " ".join([f"METAMCP {state.name} - {text}", *(["|", *_performance(lines)] if lines else [])])


def _performance(lines: Sequence[Line]) -> Iterator[str]:
    for line in lines:
        name = re.sub(r"[^\w.-]+", "_", line.name)
        yield f"'{name}'={line.seconds:g}s;;;0"
        for value, number in line.values.items():
            yield f"'{name}_{value}'={number:g};;;0"


def prometheus(labels: Mapping[str, str], state: State, status: str, lines: Sequence[Line]) -> str:
    """Gauges with the app's labels, and when they were read: a file that is no longer written shows by that."""
    families: list[tuple[str, str, list[tuple[dict[str, str], float]]]] = [
        ("metamcp_up", "Whether the app is healthy.", [({}, float(status == "healthy"))]),
        (
            "metamcp_health",
            "The app's state: 0 ok, 1 warning, 2 critical, 3 unknown.",
            [({"status": status}, state)],
        ),
        (
            "metamcp_check_state",
            "A check: 0 ok, 1 warning, 2 critical, 3 unknown.",
            [({"check": line.name}, line.state) for line in lines],
        ),
        (
            "metamcp_check_seconds",
            "Time of a check.",
            [({"check": line.name}, line.seconds) for line in lines],
        ),
        (
            "metamcp_check_value",
            "What a check counted.",
            [({"check": line.name, "value": v}, n) for line in lines for v, n in line.values.items()],
        ),
        ("metamcp_health_timestamp_seconds", "When this was read.", [({}, round(time.time(), 3))]),
    ]
    return "".join(_family(*family, labels) for family in families if family[2])


def _family(
    name: str, help_: str, samples: Sequence[tuple[dict[str, str], float]], labels: Mapping[str, str]
) -> str:
    head = f"# HELP {name} {help_}\n# TYPE {name} gauge\n"
    return head + "".join(
        f"{name}{{{_labels({**labels, **more})}}} {number:.15g}\n" for more, number in samples
    )


def _labels(labels: Mapping[str, str]) -> str:
    escaped = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for name, value in labels.items()
    }
    return ",".join(f'{name}="{value}"' for name, value in escaped.items())
