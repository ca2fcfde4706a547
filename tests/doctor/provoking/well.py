"""Where nothing is wrong, `doctor` says nothing above a note."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from metamcp_deploy.doctor.report import Report
from tests.doctor.provoking import inside
from tests.doctor.provoking.scene import Scene, above_notes

WELL: dict[str, Callable[[Scene], Report]] = {}


def well(act: Callable[[Scene], Report]) -> Callable[[Scene], Report]:
    """Declares a situation in which nothing is wrong."""
    WELL[act.__name__.replace("_", "-")] = act
    return act


@well
def without_endpoints(scene: Scene) -> Report:
    return scene.look()


@well
def without_a_checkout(scene: Scene) -> Report:
    scene.bare(scene.name)
    return scene.look()


@well
def offline_without_a_network(scene: Scene) -> Report:
    scene.fault("reset", route="* *", by="operator")
    return scene.look(offline=True)


@well
def an_endpoint_that_asks_for_a_key(scene: Scene) -> Report:
    inside.server(scene, "closed", "cat", [])
    scene.sql("UPDATE {schema}.endpoints SET enable_api_key_auth = true WHERE name = 'closed'")
    return scene.look()


@well
def a_working_server(scene: Scene) -> Report:
    inside.server(scene, "works", "node", ["-e", inside.WORKING])
    return scene.look()


@well
def a_database_that_wakes_up(scene: Scene) -> Report:
    """The first login of this one meets it; the app's connections are open."""
    scene.fault(
        "57P03", route="LOGIN *", by="operator", calls="1-2", message="the database system is starting up"
    )
    return scene.look()


@well
def a_person_without_a_role_in_the_database(scene: Scene) -> Report:
    login = scene.person("bea@example.com")
    scene.api(
        "PATCH",
        f"/api/2.0/permissions/apps/{scene.name}",
        {"access_control_list": [{"user_name": "bea@example.com", "permission_level": "CAN_MANAGE"}]},
    )
    scene.bare(scene.name, **login)
    return scene.look()


@well
def right_after_a_restart(scene: Scene) -> Report:
    scene.restart()
    assert scene.healthy(60)
    return scene.look()


def run(scene: Scene) -> Iterator[tuple[str, Report, bool]]:
    """Each situation: its name, what was said, and whether that is nothing above a note."""
    for name, act in WELL.items():
        try:
            report = act(scene)
        finally:
            scene.undo()
        yield name, report, not above_notes(report)
