"""docs/diagnoses.md, from the files."""

from __future__ import annotations

from collections.abc import Iterator

from metamcp_deploy.knowledge import loading
from metamcp_deploy.knowledge.entry import Entry, Sign
from metamcp_deploy.knowledge.place import Place

_HEAD = """# Known failures

Generated from `src/metamcp_deploy/knowledge/` by `python -m metamcp_deploy.knowledge`; CONTRIBUTING.md says how to add
one. A program may take the steps that are marked *safe* without asking; `doctor --fix` takes those marked *repair*
after asking. `TARGET` stands for the target's name, other
words in capitals for what they name. Commands of the group "A deployed app" also take `--app NAME -p PROFILE` in place
of `-t TARGET`, where there is no metamcp.yaml.
"""
# Where the failures of a folder show, in the order of the page.
PLACES = {
    "launcher": "The app does not start: the launcher's page and log",
    "health": "The app does not answer: `health`, `status`, `deploy`",
    "app": "The app runs, and something fails: its log and its answers",
    "client": "An MCP client or a browser does not get through",
    "database": "The database",
    "doctor": "What `doctor` sees of the app and its resources",
    "platform": "Databricks Apps and the login",
    "workspace": "Other answers of the workspace's API",
    "preflight": "What a deployment lacks: `preflight`",
    "git": "The upstream cannot be cloned: `prepare`",
    "build": "The release cannot be built: `build`",
}
_SIGNS = {
    "code": "code",
    "step": "step",
    "state": "state",
    "http": "HTTP status",
    "sqlstate": "SQLSTATE",
    "error_code": "API error code",
    "exit_code": "exit code",
    "log": "in the log",
    "body": "in the answer",
    "output": "in the output",
}


def markdown() -> str:
    """The whole page."""
    parts = [_HEAD]
    for where, title in PLACES.items():
        parts.append(f"## {title}\n")
        parts += ["\n".join(_section(known)) + "\n" for known in loading.folder(where)]
    return "\n".join(parts)


def explained(known: Entry, place: Place) -> str:
    """One failure on a page of its own, for a terminal."""
    lines = [f"{known.id} ({known.level})", f"{known.title}.", "", "Shows"]
    lines += [f"  {_shown(sign).replace('`', '')}" for sign in known.shows]
    lines += ["", "Cause", f"  {known.cause}", "", "Fix"]
    for step in known.steps(place=place):
        do = f"  {step.do}" if step.do else ""
        lines += [
            line
            for line in (do + (f" (by {step.ask})" if step.ask else ""), f"    {step.run or ''}")
            if line.strip()
        ]
    if known.by_itself:
        lines += ["", "By itself", f"  {known.by_itself}"]
    if known.provoke:
        fault = known.provoke.fault
        lines += ["", "To see it in the embedded workspace"]
        lines.append(f"  metamcp-deploy local faults add {fault}" if fault else f"  {known.provoke.act}")
    return "\n".join([*lines, "", "Sources", *(f"  {source}" for source in known.sources)])


def _section(known: Entry) -> Iterator[str]:
    yield f"### {known.id}\n"
    yield f"{known.title}.\n"
    yield "- Shows: " + "; or ".join(map(_shown, known.shows))
    yield f"- Cause: {known.cause}"
    if known.by_itself:
        yield f"- By itself: {known.by_itself}"
    for step in known.steps(place=Place(target="TARGET")):
        do = " / ".join((step.do or "").splitlines())
        run = f"`{step.run}`" if step.run else ""
        whom = f" (by {step.ask})" if step.ask else ""
        yield (
            "- Fix: "
            + (f"{do.rstrip('.')}: {run}" if do and run else do or run)
            + whom
            + " *safe*" * step.safe
            + " *repair*" * step.repair
        )
    if known.provoke:
        fault = known.provoke.fault
        yield "- Provoke: " + (
            f"`metamcp-deploy local faults add {fault}`" if fault else known.provoke.act or ""
        )
    yield "- Sources: " + "; ".join(known.sources)


def _shown(sign: Sign) -> str:
    said = []
    for name, words in _SIGNS.items():
        value = getattr(sign, name)
        values = value if isinstance(value, tuple) else (value,) if value else ()
        if values:
            said.append(f"{words} " + ", ".join(f"`{v}`" for v in values))
    return ", ".join(said)
