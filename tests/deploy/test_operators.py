"""Who may see what failed, and whom others are sent to: settings that travel with the deployment."""

from __future__ import annotations

from metamcp_deploy.config.model import App, Settings
from metamcp_deploy.local.identity import USER
from metamcp_deploy.target import environment


def told(settings: Settings) -> dict[str, str | None]:
    return {v.name: v.value for v in environment.environment(settings, "https://app.example.com")}


def test_operators_and_contact_travel() -> None:
    app = App(operators=("oncall@example.com", "second@example.com"), contact="#metamcp-help")
    env = told(Settings(target="dev", app=app))
    assert env["METAMCP_OPERATORS"] == "oncall@example.com,second@example.com"
    assert env["METAMCP_CONTACT"] == "#metamcp-help"
    assert not {"METAMCP_OPERATORS", "METAMCP_CONTACT"} & set(told(Settings(target="dev")))


def test_the_embedded_workspaces_user_operates_its_apps() -> None:
    assert environment.LOCAL_OPERATOR == USER
    assert told(Settings(target="local", embedded=True))["METAMCP_OPERATORS"] == USER
    stated = Settings(target="local", embedded=True, app=App(operators=("oncall@example.com",)))
    assert told(stated)["METAMCP_OPERATORS"] == "oncall@example.com"


def test_how_long_sessions_may_be_idle_reaches_the_launcher() -> None:
    assert "METAMCP_SESSION_IDLE" not in told(Settings(target="dev"))  # the launcher has the same default
    for seconds in (0, 600):
        settings = Settings.model_validate({"target": "dev", "app": {"session_idle": seconds}})
        assert told(settings)["METAMCP_SESSION_IDLE"] == str(seconds)
