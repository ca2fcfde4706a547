"""Failures that do happen, by name: each a Fault with the words that the platform uses where they are known."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.faults.fault import Fault

PRESETS = {
    "token-endpoint-down": Fault("503", "POST /oidc/v1/token"),
    "credentials-down": Fault("503", "POST /api/2.0/*/credentials"),
    "credential-refused": Fault("28P01", "LOGIN *", by="app"),
    "credential-too-fresh": Fault("28P01", "LOGIN *", by="app", seconds=30),
    "stream-cut": Fault("reset", "STREAM *", seconds=300),
    "database-asleep": Fault(
        "57P03", "LOGIN *", calls="1-5", by="app", message="the database system is starting up"
    ),
    "database-unreachable": Fault("reset", "LOGIN *", by="app"),
    "rate-limited": Fault("429", "* /api/2.0/workspace*", calls="1-5", seconds=1),
    "upload-interrupted": Fault("reset", "POST /api/2.0/workspace*/import*", calls="3"),
    "create-answer-lost": Fault("lost", "POST /api/2.0/apps", calls="1"),
    "deploy-answer-lost": Fault("lost", "POST /api/2.0/apps/*/deployments", calls="1"),
    "login-expired": Fault("401", "* /api/*", calls="5", by="operator", message="Access token has expired."),
    "token-invalid": Fault("403", "* /api/*", calls="5", by="operator", message="Invalid access token."),
    "permission-missing": Fault("403", "POST /api/2.0/apps", by="operator"),
    "endpoint-busy": Fault(
        "409",
        "PATCH /api/2.0/postgres/projects/*/endpoints/*",
        calls="1-2",
        error_code="ABORTED",
        message="Endpoint reconciliation still in progress",
    ),
    "size-refused": Fault("unsized", "PATCH /api/2.0/apps/*"),
    "mask-ignored": Fault("unmasked", "* /api/2.0/apps/*"),
    "app-limit": Fault(
        "400",
        "POST /api/2.0/apps",
        error_code="RESOURCE_LIMIT_EXCEEDED",
        message="The workspace has reached the maximum limit of 100 apps.",
    ),
    "ip-blocked": Fault(
        "403",
        "* *",
        by="operator",
        message="Source IP address: 192.0.2.1 is blocked by Databricks IP ACL for this workspace",
    ),
    "workspace-hangs": Fault("stall", "* /api/*", by="operator"),
}

MEANINGS = {
    "token-endpoint-down": "nobody gets an OAuth token (503)",
    "credentials-down": "nobody gets a database password (503)",
    "credential-refused": "Postgres refuses the app's password (28P01)",
    "credential-too-fresh": "Postgres refuses the app's passwords for 30 s after they were issued (28P01)",
    "stream-cut": "the apps' answers that take longer than 300 s are cut",
    "database-asleep": "the app's first five logins meet a database that wakes up (57P03)",
    "database-unreachable": "connections of the app to Postgres are closed at login",
    "rate-limited": "the first five calls for workspace files are too many (429, Retry-After: 1)",
    "upload-interrupted": "the connection of the third upload breaks",
    "create-answer-lost": "the app is created, the answer is lost",
    "deploy-answer-lost": "the deployment begins, the answer is lost",
    "login-expired": "the fifth call finds the login expired (401)",
    "token-invalid": "the fifth call's token is called invalid (403)",
    "permission-missing": "creating an app is not permitted (403)",
    "endpoint-busy": "the first two changes of an endpoint meet one that is not finished (409)",
    "size-refused": "changes of an app by PATCH are refused when compute_size is in them, even unchanged (400)",
    "mask-ignored": "changes of an app clear what they do not name: scopes, resources",
    "app-limit": "the workspace holds as many apps as it may",
    "ip-blocked": "the workspace's IP access list refuses this machine (403)",
    "workspace-hangs": "requests are taken and never answered",
}


def chosen(what: str, given: Mapping[str, Any]) -> Fault:
    """The fault of that name, or of that kind, with what else was said.

    Raises:
        DeployError: USAGE.
    """
    if what in PRESETS:
        return replace(PRESETS[what], **given)
    if "route" not in given:
        close = difflib.get_close_matches(what, PRESETS, 1)
        raise DeployError(
            Code.USAGE,
            f"{what} is no failure that has a name, and no route says which calls it is for.",
            hint=f"metamcp-deploy local faults add {close[0]}"
            if close
            else "metamcp-deploy local faults list",
        )
    return Fault(what, **given)


def said(fault: Fault) -> str:
    """A fault in one line."""
    calls = "all" if fault.calls == "1-" else f"number {fault.calls}"
    whose = f" by {fault.by}" if fault.by else ""
    return f"{fault.what} at {fault.route}, {calls} of the calls{whose}, until it is cleared or `local down`"
