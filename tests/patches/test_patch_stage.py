"""The stage on the sample upstream: what it makes, when it runs again, and what a failure leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from metamcp_deploy import fingerprint, pipeline, process
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.patches import declaration, engine, tree, verification
from metamcp_deploy.stages import patch
from metamcp_deploy.upstream.sample import TAG
from tests.patches.patch_helpers import SCHEMA, prepared, write

GOLDEN = Path(__file__).parent / "golden" / "sample.diff"


def run(project: Project) -> pipeline.Outcome:
    return pipeline.execute(patch.step(project), project.state)


def test_the_whole_change_is_the_golden_diff(sample_tree: Path, tmp_path: Path) -> None:
    """UPDATE_GOLDEN=1 writes it anew. Overrides are left out: they are files of their own, to be read as such."""
    before = tmp_path / "before"
    process.run(["cp", "-R", sample_tree, before])
    engine.apply(sample_tree, declaration.load(), {"schema": SCHEMA})
    verification.verify(sample_tree, SCHEMA)
    found = tree.difference(before, sample_tree)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


def test_the_patched_tree(project: Project) -> None:
    upstream = fingerprint.of_tree(project.upstream, skip=())
    outcome = run(project)
    assert outcome.facts["schema"] == SCHEMA
    assert [p["id"] for p in outcome.facts["patches"]] == [p.id for p in declaration.load()]
    assert all(p["matches"] and p["files"] for p in outcome.facts["patches"])
    assert "apps/backend/src/databricks/database-password.ts" in outcome.facts["overrides"]
    assert not (project.patched / ".git").exists()
    assert fingerprint.of_tree(project.upstream, skip=()) == upstream
    assert [p.name for p in project.build.iterdir() if p.name.startswith(".")] == []


def test_it_runs_again_only_for_a_reason(project: Project, folder: Path) -> None:
    assert run(project).reason == "first run"
    assert not run(project).ran
    (project.patched / "package.json").write_text("{}")
    assert run(project).reason == "metamcp was changed by hand"
    write(folder, {"overrides/NOTE.md": "mine\n", "patches/README.md": "none yet\n"})
    settings = project.settings.model_copy(
        update={"overrides": Path("overrides"), "patches": Path("patches")}
    )
    changed = Project(folder, settings)
    assert run(changed).reason == "patches changed"
    write(folder, {"overrides/NOTE.md": "changed\n"})
    assert run(changed).reason == "overrides changed"
    settings = settings.model_copy(
        update={"database": settings.database.model_copy(update={"schema_": "other"})}
    )
    assert run(Project(folder, settings)).reason == "database.schema changed"
    assert 'pgSchema("other")' in (project.patched / "apps/backend/src/db/schema.ts").read_text()


def test_the_users_own_patches_overrides_and_templates(sample: Path, folder: Path) -> None:
    write(
        folder,
        {
            "mine/overrides/apps/frontend/public/logo.svg": "<svg/>\n",
            "mine/overrides/README.md": "Ours\n",
            "mine/patches/title.yaml": """
                what: Another limit.
                why: Because.
                upstream: never
                verified: Seen.
                files:
                  apps/frontend/next.config.js:
                    edits:
                      limit: {find: {kind: pair, regex: '^proxyTimeout:'}}
            """,
            "mine/templates/patches/title/limit.js": "proxyTimeout: 1\n",
            "mine/templates/patches/schema/table.ts": "metamcpSchema /* ours */ .table\n",
        },
    )
    folders = {name: f"mine/{name}" for name in ("overrides", "patches", "templates")}
    project = prepared(folder, sample, TAG, **folders)
    assert {(o.path, o.replaces) for o in patch.listed_overrides(project) if not o.packaged} == {
        ("README.md", None),
        ("apps/frontend/public/logo.svg", None),
    }
    run(project)
    assert "proxyTimeout: 1,\n" in (project.patched / "apps/frontend/next.config.js").read_text()
    assert (
        "metamcpSchema /* ours */ .table(" in (project.patched / "apps/backend/src/db/schema.ts").read_text()
    )
    assert (project.patched / "README.md").read_text() == "Ours\n"
    assert {(o.path, o.replaces) for o in patch.listed_overrides(project) if not o.packaged} == {
        ("README.md", True),
        ("apps/frontend/public/logo.svg", False),
    }
    rows = {r.id: r for r in patch.listed(project)}
    assert (rows["title"].packaged, rows["title"].matches) == (False, 1)
    assert rows["title"].files == ("apps/frontend/next.config.js",)
    assert rows["schema"].packaged


def test_the_list_before_a_run(folder: Path, sample: Path) -> None:
    project = prepared(folder, sample, TAG)
    rows = patch.listed(project)
    assert [r.id for r in rows] == sorted(r.id for r in rows)
    assert all(r.matches is None and r.files and r.why for r in rows)


BAD = {
    "a patch that drifts": (
        {
            "patches/bad.yaml": "what: w\nwhy: y\nupstream: never\nverified: v\n"
            "files: {package.json: {edits: {n: {find: '\"gone\"', text: x}}}}\n"
        },
        Code.PATCH_DRIFT,
    ),
    "a patch whose result does not parse": (
        {
            "patches/bad.yaml": "what: w\nwhy: y\nupstream: never\nverified: v\nfiles:\n"
            "  apps/backend/drizzle.config.ts: {edits: {n: {find: {kind: pair, regex: '^out:'}, text: 'out: (('}}}\n"
        },
        Code.PATCH_INCOMPLETE,
    ),
    "an override outside of the schema": (
        {"overrides/apps/backend/src/mine.ts": 'export const t = pgTable("t", {});\n'},
        Code.PATCH_INCOMPLETE,
    ),
    "an override that undoes a patched file": (
        {"overrides/apps/backend/src/db/schema.ts": "export {};\n"},
        Code.PATCH_DRIFT,
    ),
    "a template that is broken": (
        {"templates/patches/schema/table.ts": "{{ nobody }}\n"},
        Code.TEMPLATE_INVALID,
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_failure_leaves_what_was_there(project: Project, folder: Path, case: str) -> None:
    files, code = BAD[case]
    run(project)
    before = fingerprint.of_tree(project.patched)
    write(folder, files)
    named = {name: Path(name) for name in {Path(path).parts[0] for path in files}}
    with pytest.raises(DeployError) as caught:
        run(Project(folder, project.settings.model_copy(update=named)))
    assert caught.value.code is code
    assert fingerprint.of_tree(project.patched) == before
    assert sorted(p.name for p in project.build.iterdir()) == ["metamcp", "state", "upstream"]


def test_interrupted_between_the_renames_the_old_tree_comes_back(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project)
    before = fingerprint.of_tree(project.patched)
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if target == project.patched and ".new." in self.name:
            raise KeyboardInterrupt
        return rename(self, target)

    (project.state / "patch.json").unlink()
    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(project)
    monkeypatch.undo()
    assert fingerprint.of_tree(project.patched) == before
    assert sorted(p.name for p in project.build.iterdir()) == ["metamcp", "state", "upstream"]


def test_what_a_killed_run_left_is_cleared(project: Project) -> None:
    ended = process.run(["sh", "-c", "echo $$"]).stdout.strip()
    write(
        project.build,
        {f".metamcp.new.{ended}/half": "", f".metamcp.old.{ended}/x": "", ".metamcp.new.1/theirs": ""},
    )
    run(project)
    assert [p.name for p in project.build.iterdir() if p.name.startswith(".")] == [".metamcp.new.1"]


def test_a_dirty_checkout_does_not_reach_the_tree(project: Project) -> None:
    run(project)
    clean = fingerprint.of_tree(project.patched)
    write(project.upstream, {"package.json": "{", "new.txt": "new\n"})
    process.run(["git", "-C", project.upstream, "add", "-A"])
    process.run(["git", "-C", project.upstream, "config", "core.autocrlf", "true"])
    pipeline.execute(patch.step(project), project.state, force="test")
    assert fingerprint.of_tree(project.patched) == clean


def test_the_difference_is_one_that_git_applies(project: Project, folder: Path) -> None:
    write(folder, {"overrides/run.sh": "#!/bin/sh", "overrides/README.md": "line\x0c\u2028 separators\n"})
    (folder / "overrides/run.sh").chmod(0o755)
    project = Project(folder, project.settings.model_copy(update={"overrides": Path("overrides")}))
    run(project)
    text = patch.difference(project)
    assert text == patch.difference(project)
    assert str(folder) not in text
    process.run(["git", "-C", project.upstream, "apply", "-"], stdin=text.encode())
    assert fingerprint.of_tree(project.upstream) == fingerprint.of_tree(project.patched)


def test_the_difference_of_modes_links_binaries_and_deletions(tmp_path: Path) -> None:
    before = write(tmp_path / "a", {"gone.txt": "x\n", "mode.sh": "x\n", "bin": "", "same": "s\n"})
    after = write(tmp_path / "b", {"mode.sh": "x\n", "same": "s\n"})
    (after / "mode.sh").chmod(0o755)
    (after / "bin").write_bytes(b"\xff\x00")
    (after / "link").symlink_to("same")
    assert tree.difference(before, after) == (
        "diff --git a/bin b/bin\nBinary files a/bin and b/bin differ\n"
        "diff --git a/gone.txt b/gone.txt\ndeleted file mode 100644\n--- a/gone.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
        "diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n@@ -0,0 +1 @@\n+same\n"
        "\\ No newline at end of file\n"
        "diff --git a/mode.sh b/mode.sh\nold mode 100644\nnew mode 100755\n"
    )


def test_without_prepare_it_says_so(folder: Path, project: Project) -> None:
    (project.state / "prepare.json").unlink()
    with pytest.raises(DeployError) as caught:
        patch.step(project)
    assert caught.value.code is Code.STAGE_MISSING


def test_the_difference_without_patch_says_so(project: Project) -> None:
    with pytest.raises(DeployError) as caught:
        patch.difference(project)
    assert caught.value.code is Code.STAGE_MISSING


def test_a_commit_that_is_gone_is_named(project: Project) -> None:
    (project.state / "prepare.json").write_text(
        '{"fingerprint": {}, "facts": {"commit": "' + "0" * 40 + '"}}'
    )
    with pytest.raises(DeployError, match="read-tree") as caught:
        run(project)
    assert "metamcp-deploy prepare" in caught.value.hint
    assert not project.patched.exists()


def test_the_example_of_the_documentation(sample: Path, folder: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "patches.md").read_text()
    example = document.split("One YAML file")[1].split("```yaml\n")[1].split("```")[0]
    write(folder, {"patches/timeout.yaml": example})
    project = prepared(folder, sample, TAG, patches="patches")
    run(project)
    assert "    proxyTimeout: 300000,\n" in (project.patched / "apps/frontend/next.config.js").read_text()


def test_the_difference_is_that_of_the_last_run(project: Project, sample: Path) -> None:
    run(project)
    text = patch.difference(project)
    process.run(
        [
            "git",
            "-C",
            project.upstream,
            *["-c", "user.name=x", "-c", "user.email=x@example.com", "commit"],
            "-qm",
            "x",
            "--allow-empty",
        ]
    )
    head = process.run(["git", "-C", project.upstream, "rev-parse", "HEAD"]).stdout.strip()
    (project.state / "prepare.json").write_text(json.dumps({"fingerprint": {}, "facts": {"commit": head}}))
    assert patch.difference(project) == text
    assert run(project).reason == "upstream commit changed"
