"""All checks, in the order in which one depends on another."""

from metamcp_deploy.doctor.check import Check
from metamcp_deploy.doctor.checks import (
    app,
    before,
    database,
    endpoints,
    inside,
    log,
    login,
    resources,
    serving,
)

CHECKS: tuple[Check, ...] = (
    Check("configuration", "the configuration", login.configuration, remote=False),
    Check("login", "the login", login.login, ("configuration",)),
    Check("workspace", "the workspace", login.workspace, ("login",)),
    Check("app", "the app", app.app, ("workspace",)),
    Check("compute", "the app's compute", app.compute, ("app",)),
    Check("deployment", "the deployment", app.deployment, ("app",)),
    Check("access", "this login's rights on the app", app.access, ("app",)),
    Check("resources", "the app's resources", resources.resources, ("app",)),
    Check("secrets", "the app's secrets", resources.secrets, ("app",)),
    Check("database", "the database", database.database, ("app",)),
    Check("connection", "a connection to the database", database.connection, ("database",)),
    Check("role", "the app's role in the database", database.role, ("connection",)),
    Check("schema", "MetaMCP's schema", database.schema, ("role",)),
    Check("migrations", "the migrations", database.migrations, ("schema",)),
    Check("activity", "the database's limits and locks", database.activity, ("connection",)),
    Check("launcher", "the launcher", serving.launcher, ("compute", "access")),
    Check("services", "MetaMCP's services", inside.services, ("launcher",)),
    Check("front-door", "MetaMCP's pages", serving.front_door, ("launcher",)),
    Check("servers", "the MCP servers", endpoints.servers, ("schema",)),
    Check("endpoints", "the MCP endpoints", endpoints.endpoints, ("front-door",)),
    Check("log", "the app's log", log.log, ("compute", "access"), seconds=6.0),
)

# Before a first deployment there is no app to look at.
BEFORE: tuple[Check, ...] = (
    *(check for check in CHECKS if check.id in ("configuration", "login", "workspace")),
    Check("preflight", "what a deployment needs", before.preflight, ("workspace",), seconds=8.0),
)
