"""What `init --from-predecessor` says of the app's resources."""

from __future__ import annotations

from metamcp_deploy.predecessor import move
from metamcp_deploy.predecessor.found import Deployed
from metamcp_deploy.workspace.apps import App


def test_only_the_database_may_be_another_than_the_settings_name() -> None:
    resources = [{"name": "lakebase", "database": {}}, {"name": "key", "secret": {}}]
    names = {"APP_NAME": "a", "LAKEBASE_INSTANCE_NAME": "b", "LAKEBASE_DATABASE_NAME": "c"}
    one = Deployed("prod", names, App({"name": "a", "resources": resources}), {"instance": "x", "name": "c"})
    notes = {line.source: line.note for line in move._of_target(one)}
    assert notes["resource lakebase of a"] == "what the app uses counts, not b and c"
    assert notes["resource key of a"] == ""
