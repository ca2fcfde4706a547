"""Whether the official command line manages the same app or instance by a state of its own: the two would fight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from metamcp_deploy import resources
from metamcp_deploy.converge.part import Context
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App

STATES = ("terraform.tfstate", "resources.json")


def hold(context: Context, root: str, names: Iterable[str]) -> None:
    """Does nothing unless a state in a root says that it manages the app, or what holds its database.

    Args:
        context: of the target.
        root: of a bundle.
        names: of the files in its `state`.

    Raises:
        DeployError: ALREADY_EXISTS.
    """
    database = context.desired.database
    things = [("app", context.desired.app.name)]
    if database.managed and database.holder:
        things.append(("database", database.holder.removeprefix("projects/")))
    for name in sorted({*names} & {*STATES}):
        content = context.workspace.files.read(f"{root}/state/{name}")
        managed = [] if content is None else _managed(content, things)
        if managed:
            raise DeployError(
                Code.ALREADY_EXISTS,
                f"{root}/state/{name} says that `databricks bundle deploy` manages {' and '.join(managed)}. Two owners "
                "would undo each other's changes, and `databricks bundle destroy` would delete them.",
                hint="Go on with one of the two: choose another app.name, or hand them over. In the folder of that "
                "bundle, `databricks bundle deployment unbind KEY -t TARGET` for each key of its databricks.yml "
                "(metamcp_app and metamcp_lakebase for the predecessor), then run this command again.",
            )


def elsewhere(context: Context, app: App) -> None:
    """As `hold`, for the bundles that may have made an app which this target did not make.

    That is the one whose files the app ran last, and the other targets beside this target's root.
    """
    files, own = context.workspace.files, context.site.root
    paths = [
        str(app.raw.get("default_source_code_path") or ""),
        app.active.source_code_path if app.active else "",
    ]
    roots = {path.partition("/files")[0] for path in paths if "/.bundle/" in path and "/files" in path}
    if "/.bundle/" in own:
        above = own.rpartition("/")[0]
        roots |= {f"{above}/{name}" for name, entry in files.entries(above).items() if entry.folder}
    for root in sorted(roots - {own}):
        try:
            names = files.entries(f"{root}/state")
        except DeployError as e:
            if e.code is not Code.PERMISSION_DENIED:
                raise
            continue  # a colleague's: taking the app over needs --adopt anyway
        hold(context, root, names)


def _managed(content: bytes, things: Iterable[tuple[str, str]]) -> list[str]:
    """Which of the things a state names, in words; all of them where it cannot be read."""
    try:
        texts = _texts(resources.parsed_json(content))
    except ValueError:
        texts = {name for _, name in things}
    return [f"the {kind} {name}" for kind, name in things if name in texts]


def _texts(value: Any) -> set[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        value = list(value.values())
    return set().union(*(_texts(v) for v in value)) if isinstance(value, list) else set()
