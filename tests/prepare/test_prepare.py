from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.stages import prepare
from tests.prepare.small_upstream import Prepared, Repository


def test_a_tag_is_checked_out_and_recorded(prepared: Prepared, upstream: Repository) -> None:
    outcome = prepared.run()

    assert outcome.facts == {
        "url": str(upstream.path),
        "ref": "v2.4.22",
        "kind": "tag",
        "commit": upstream.git("rev-parse", "v2.4.22^{commit}"),
        "date": "2026-01-02T03:04:05+00:00",
        "advisories": [],  # it is not called metamcp
    }
    assert prepared.schema == "second"
    assert prepared.head() == outcome.facts["commit"]
    assert os.access(prepared.tree / "start.sh", os.X_OK)
    assert sorted(p.name for p in prepared.project.build.iterdir()) == [".gitignore", "state", "upstream"]


def test_a_second_run_does_nothing(prepared: Prepared) -> None:
    prepared.run()

    assert not prepared.run().ran


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("ref", ["v2.4.21", "v2.4.22", "main", "refs/heads/main", "commit"])
def test_every_kind_of_pin(prepared: Prepared, upstream: Repository, ref: str, *, use_cache: bool) -> None:
    commit = upstream.git("rev-parse", "v2.4.21" if ref == "commit" else f"{ref}^{{commit}}")
    pinned = prepared.pinned(commit if ref == "commit" else ref)
    pinned = pinned if use_cache else pinned.without_cache()

    facts = pinned.run().facts

    assert facts["commit"] == pinned.head() == commit
    assert Repository(pinned.tree).git("status", "--porcelain") == ""


def test_no_cache_leaves_none(prepared: Prepared, cache: Path) -> None:
    prepared.without_cache().run()

    assert not (cache / "mirrors").exists()


def test_a_commit_no_branch_leads_to(prepared: Prepared, upstream: Repository) -> None:
    lost = upstream.git("commit-tree", "HEAD^{tree}", "-m", "lost")

    assert prepared.pinned(lost).run().facts["commit"] == lost


def test_a_commit_nobody_has(prepared: Prepared) -> None:
    with pytest.raises(DeployError) as error:
        prepared.pinned("1" * 40).run()

    assert error.value.code is Code.REF_UNKNOWN


def test_a_commit_in_the_cache_needs_no_upstream(prepared: Prepared, upstream: Repository) -> None:
    commit = prepared.run().facts["commit"]
    shutil.rmtree(prepared.tree)
    (upstream.path / ".git").rename(upstream.path / "gone")

    assert prepared.pinned(commit).run().facts["kind"] == "commit"


def test_a_locked_commit_in_the_cache_needs_no_upstream(
    prepared: Prepared, upstream: Repository, said: list[events.Event]
) -> None:
    commit = prepared.run().facts["commit"]
    shutil.rmtree(prepared.tree)
    (upstream.path / ".git").rename(upstream.path / "gone")

    assert prepared.pinned("v2.4.22", commit=commit).run().facts["commit"] == commit
    assert any(isinstance(e, events.Warned) and "going on with" in e.text for e in said)
    with pytest.raises(DeployError) as error:
        prepared.pinned("v2.4.22", commit="1" * 40).run()
    assert error.value.code is Code.UPSTREAM_UNREACHABLE


def test_a_clone_with_missing_blobs_serves(prepared: Prepared, upstream: Repository, tmp_path: Path) -> None:
    """A blobless clone has the blobs of what it checked out only; all of its history could not be fetched."""
    upstream.git("config", "uploadpack.allowFilter", "true")
    partial = tmp_path / "partial"
    upstream.git(
        "clone", "--quiet", "--filter=blob:none", "--branch=v2.4.22", upstream.path.as_uri(), str(partial)
    )
    Repository(partial).git("remote", "remove", "origin")

    assert prepared.pinned("v2.4.22", url=str(partial)).run().facts["kind"] == "tag"


def test_a_server_that_gives_out_named_commits_only(
    prepared: Prepared, upstream: Repository, monkeypatch
) -> None:
    """Before protocol version 2, `want` was limited to what a ref names."""
    commit = upstream.git("rev-parse", "v2.4.21")
    monkeypatch.setattr("metamcp_deploy.git.environments._SAFE", ("-c", "protocol.version=0"))

    assert prepared.pinned(commit).run().facts["commit"] == commit


def test_a_branch_that_moved_is_prepared_again(prepared: Prepared, upstream: Repository) -> None:
    pinned = prepared.pinned("main")
    before = pinned.run().facts["commit"]
    after = upstream.commit("fourth")

    outcome = pinned.run()

    assert outcome.reason == f"main moved from {before[:7]} to {after[:7]}"
    assert pinned.schema == "fourth"


def test_a_tag_that_moved_is_prepared_again_and_warned_about(
    prepared: Prepared, upstream: Repository, said: list[events.Event]
) -> None:
    before = prepared.run().facts["commit"]
    upstream.git("tag", "--force", "--annotate", "--message", "moved", "v2.4.22", "main")
    after = upstream.git("rev-parse", "main")

    assert prepared.run().reason == f"v2.4.22 moved from {before[:7]} to {after[:7]}"

    warned = next(e for e in said if isinstance(e, events.Warned) and "moved" in e.text)
    assert before in warned.text
    assert after in warned.text
    assert f"`upstream.commit: {before}`" in (warned.hint or "")


def test_a_release_of_another_commit_than_known_is_warned_about(
    prepared: Prepared, upstream: Repository, said: list[events.Event]
) -> None:
    """On a machine that prepares it for the first time, too."""
    (upstream.path / "package.json").write_text('{"name": "metamcp"}')
    commit = upstream.commit("another", tag="v2.4.20")
    prepared.pinned("v2.4.20").run()
    warned = next(e for e in said if isinstance(e, events.Warned) and "is known as" in e.text)
    assert commit in warned.text
    assert "514584c41565d3507237da0498eb1f8025610fbd" in warned.text  # facts about the upstream


def test_a_branch_is_warned_about(prepared: Prepared, said: list[events.Event]) -> None:
    prepared.pinned("main").run()

    assert any(isinstance(e, events.Warned) and "main is a branch" in e.text for e in said)


def test_a_locked_tag_that_moved_is_refused(prepared: Prepared, upstream: Repository) -> None:
    commit = upstream.git("rev-parse", "v2.4.22^{commit}")
    pinned = prepared.pinned("v2.4.22", commit=commit)
    pinned.run()
    upstream.git("tag", "--force", "--annotate", "--message", "moved", "v2.4.22", "main")

    with pytest.raises(DeployError) as error:
        pinned.run()

    assert error.value.code is Code.REF_MOVED
    assert commit in error.value.message
    assert upstream.git("rev-parse", "main") in error.value.message
    assert pinned.schema == "second"


def test_an_upstream_away_for_now_does_not_stop_a_prepared_pin(
    prepared: Prepared, upstream: Repository, said: list[events.Event]
) -> None:
    prepared.run()
    (upstream.path / ".git").rename(upstream.path / "gone")

    assert not prepared.run().ran
    assert any(isinstance(e, events.Warned) and "going on with" in e.text for e in said)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: (t / "start.sh").write_text("x"), "start.sh"),
        (lambda t: (t / "new file").write_text("x"), "new file"),
        (lambda t: (t / "start.sh").unlink(), "start.sh"),
        (lambda t: shutil.rmtree(t / ".git"), "no .git"),
        (lambda t: (t / ".git/HEAD").write_text("x"), "cannot read"),
        (lambda t: Repository(t).git("commit", "--quiet", "--allow-empty", "-m", "x"), "another commit"),
    ],
)
def test_a_touched_checkout_is_made_anew(prepared: Prepared, change, reason: str) -> None:
    commit = prepared.run().facts["commit"]
    change(prepared.tree)

    outcome = prepared.run()

    assert outcome.reason.startswith("checkout was changed")
    assert reason in outcome.reason
    assert prepared.head() == commit
    assert prepare.changed(prepared.tree, commit) is None
    assert not prepared.run().ran


def test_the_users_git_settings_do_not_reach_the_checkout(
    prepared: Prepared, upstream: Repository, isolated: Path
) -> None:
    hooks = isolated / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {isolated}/hook-ran\n")
        (hooks / name).chmod(0o755)
    (isolated / "attributes").write_text("* text eol=crlf filter=evil\n")
    (isolated / ".gitconfig").write_text(
        f"[core]\nautocrlf = true\nhooksPath = {hooks}\nattributesFile = {isolated}/attributes\n"
        '[filter "evil"]\nsmudge = sed s/second/third/\n[init]\ntemplateDir = /nowhere\n'
    )

    prepared.run()

    assert (prepared.tree / "start.sh").read_bytes() == b"#!/bin/sh\n"
    assert prepared.schema == "second"
    assert not (isolated / "hook-ran").exists()


def test_the_users_way_of_reaching_a_repository_works(
    prepared: Prepared, upstream: Repository, isolated: Path
) -> None:
    (isolated / ".gitconfig").write_text(
        f'[url "{upstream.path}"]\ninsteadOf = https://git.example.com/metamcp\n'
    )

    facts = prepared.pinned("v2.4.22", url="https://git.example.com/metamcp").run().facts

    assert facts["url"] == "https://git.example.com/metamcp"


def test_a_rewritten_url_cannot_start_programs(prepared: Prepared, isolated: Path) -> None:
    (isolated / ".gitconfig").write_text(
        f'[url "ext::touch {isolated}/ran "]\ninsteadOf = https://git.example.com/\n'
        '[protocol "ext"]\nallow = always\n'
    )

    with pytest.raises(DeployError) as error:
        prepared.pinned("v2.4.22", url="https://git.example.com/metamcp").run()

    assert error.value.code is Code.UPSTREAM_REFUSED
    assert not (isolated / "ran").exists()


def test_a_repository_of_something_else(prepared: Prepared, upstream: Repository) -> None:
    upstream.git("rm", "-r", "--quiet", "apps")
    upstream.git("commit", "--quiet", "--message", "no MetaMCP")

    with pytest.raises(DeployError) as error:
        prepared.pinned("main").run()

    assert error.value.code is Code.REF_UNSUPPORTED
    assert "apps/backend/src/db/schema.ts" in error.value.message


def test_a_failed_run_leaves_the_checkout(prepared: Prepared) -> None:
    prepared.run()

    with pytest.raises(DeployError):
        prepared.pinned("v9.9.9").run()

    assert prepared.schema == "second"


def test_a_plan_acts_on_nothing(prepared: Prepared, cache: Path) -> None:
    prepare.step(prepared.project)

    assert not cache.exists()
    assert not prepared.project.build.exists()


def test_the_mirror_serves_a_plain_clone(prepared: Prepared, cache: Path, tmp_path: Path) -> None:
    commit = prepared.run().facts["commit"]
    (mirror,) = (cache / "mirrors").glob("*.git")
    subprocess.run(["git", "clone", "--quiet", mirror, tmp_path / "clone"], check=True)

    assert Repository(tmp_path / "clone").git("rev-parse", "HEAD") == commit


def test_the_checkout_outlives_the_cache(prepared: Prepared, cache: Path) -> None:
    commit = prepared.run().facts["commit"]
    shutil.rmtree(cache)

    assert prepare.changed(prepared.tree, commit) is None
    assert Repository(prepared.tree).git("fsck") == ""


@pytest.mark.parametrize("ref", ["v2.0.4", "v2.2.0", "v2.3.8", "v2.4.0", "v2.4.22", "main"])
def test_the_real_upstream(prepared: Prepared, test_upstream: Path, ref: str) -> None:
    pinned = prepared.pinned(ref, url=str(test_upstream))

    assert pinned.run().facts["commit"] == pinned.head()
    assert not pinned.run().ran


def test_without_the_cache_nothing_is_left_in_it(
    prepared: Prepared, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import certifi

    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    prepared.without_cache().run()
    assert not cache.exists()
