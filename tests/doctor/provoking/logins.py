"""Failures of the way to the workspace and the database: faults of the embedded workspace, and other logins."""

from __future__ import annotations

from metamcp_deploy.config.loading import load
from tests.doctor.provoking.case import case
from tests.doctor.provoking.scene import Scene, until


@case("workspace-unreachable")
def workspace_hangs(scene: Scene) -> None:
    scene.fault("workspace-hangs")


@case("workspace-unreachable")
def workspace_resets(scene: Scene) -> None:
    scene.fault("reset", route="* /api/*", by="operator")


@case("address-refused")
def address_blocked(scene: Scene) -> None:
    scene.fault("ip-blocked")


@case("auth-failed")
def login_expired(scene: Scene) -> None:
    scene.fault("401", route="* /api/*", by="operator", message="Access token has expired.")


@case("rate-limited")
def rate_limited(scene: Scene) -> None:
    scene.fault("429", route="* /api/2.0/apps*", by="operator", seconds=60)


@case("workspace-answer")
def workspace_busy(scene: Scene) -> None:
    scene.fault("503", route="* /api/2.0/apps*", by="operator")


@case("local-down")
def workspace_down(scene: Scene) -> None:
    scene.later(lambda: until(lambda: scene.healthy(1), 90))
    scene.later(lambda: scene.tool("local", "up"))
    scene.tool("local", "down")


@case("personal-token")
def personal_token(scene: Scene) -> None:
    scene.bare(scene.name, token=scene.running.token.reveal())


@case("auth-failed")
def wrong_secret(scene: Scene) -> None:
    scene.bare(scene.name, client_id=scene.running.client_id, client_secret="dose-not-fit")


@case("auth-failed")
def wrong_profile(scene: Scene) -> None:
    scene.view(lambda: load(scene.folder, app=scene.name, profile="nobody"))


@case("need-open")
def no_right_on_the_app(scene: Scene) -> None:
    scene.bare(scene.name, **scene.person("ada@example.com"))


@case("login-refused", note=True)
def database_refuses_this_login(scene: Scene) -> None:
    scene.fault("28P01", route="LOGIN *", by="operator")


@case("login-timeout", note=True)
def database_away_from_here(scene: Scene) -> None:
    scene.fault("reset", route="LOGIN *", by="operator")


@case("password-refused")
def credential_refused(scene: Scene) -> None:
    scene.fault("credential-refused")
    scene.disconnect()
    scene.restart()


@case("credential-too-fresh", note=True)
def credential_too_fresh(scene: Scene) -> None:
    scene.fault("credential-too-fresh")
    scene.restart()


@case("database-asleep", note=True)
def database_asleep(scene: Scene) -> None:
    scene.fault("database-asleep", calls="1-")
    scene.restart()


@case("database-unreachable")
def database_unreachable(scene: Scene) -> None:
    scene.fault("database-unreachable")
    scene.disconnect()
    scene.restart()


@case("credential-refused")
def credentials_refused_by_the_workspace(scene: Scene) -> None:
    scene.fault("403", route="POST /api/2.0/*/credentials", by="app")
    scene.restart()


@case("app-workspace-unreachable")
def credentials_down(scene: Scene) -> None:
    scene.fault("503", route="POST /api/2.0/*/credentials", by="app")
    scene.restart()


@case("app-workspace-unreachable")
def token_endpoint_down(scene: Scene) -> None:
    scene.fault("503", route="POST /oidc/v1/token", by="app")
    scene.restart()


@case("token-refused")
def token_refused(scene: Scene) -> None:
    scene.fault("401", route="POST /oidc/v1/token", by="app")
    scene.restart()
