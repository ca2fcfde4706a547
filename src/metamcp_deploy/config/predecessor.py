"""The predecessor's variables, and what its Makefile made of them: a target `dev` had names of its own."""

from __future__ import annotations

from collections.abc import Sequence

from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.problems import Problem, failure
from metamcp_deploy.config.tree import Node, at
from metamcp_deploy.errors import Code

DEV = "dev"
# Variable → the Makefile's default, and what joins the prefix to the name.
NAMES = {
    "APP_NAME": ("metamcp", "-"),
    "LAKEBASE_INSTANCE_NAME": ("metamcp-lakebase", "-"),
    "LAKEBASE_DATABASE_NAME": ("metamcp_app", "_"),
}


def named(variable: str, base: str, target: str) -> str:
    """The name that the Makefile derived for a target: the base, for `dev` with the prefix unless it has it."""
    prefix = DEV + NAMES[variable][1]
    return base if target != DEV or base.startswith(prefix) else prefix + base


def hold(targets: Sequence[str], merged: Node, settings: Settings) -> None:
    """Refuses TARGET=dev with names of production: without a metamcp.yaml that states them, none gets a prefix.

    Args:
        targets: values of TARGET, in `.env` and the environment.
        merged: what the settings were made of.
        settings: of the target.

    Raises:
        DeployError: CONFIG_CONFLICT.
    """
    if DEV not in targets:
        return
    problems = []
    wanted = dict.fromkeys(("APP_NAME", "LAKEBASE_INSTANCE_NAME"))
    for variable in wanted:
        key = "app.name" if variable == "APP_NAME" else _container(settings)
        node = at(merged, key.split("."))
        if variable == "APP_NAME" and node is None:
            problems.append(Problem(merged.origin, f"TARGET is dev, and the app is `{settings.app.name}`."))
        elif node and node.origin.kind in (".env", "environment") and DEV not in str(node.value).split("-"):
            problems.append(Problem(node.origin, f"TARGET is dev, and this names `{node.value}`."))
    if problems:
        app = named("APP_NAME", settings.app.name, DEV)
        raise failure(
            problems,
            Code.CONFIG_CONFLICT,
            "The predecessor put dev- before each name, so that this would be production's. Write them out in .env "
            f"(APP_NAME={app}, LAKEBASE_INSTANCE_NAME=dev-..., LAKEBASE_DATABASE_NAME=dev_...), or have metamcp.yaml "
            "written with both targets: metamcp-deploy init --from-predecessor",
        )


def _container(settings: Settings) -> str:
    return "database.instance" if settings.database.kind == "provisioned" else "database.project"
