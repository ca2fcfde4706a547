"""A verified bundle as one file: built once, approved, then deployed elsewhere without git, Node or a registry.

The file is a tar.gz of `artifact.json` (format, release, kind of pin, SHA-256 of every file) and the bundle. The same
bundle gives the same bytes. Taking it checks every digest and computes the release's id anew from what the release
runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metamcp_deploy import __version__, atomic, config, events, fingerprint, pipeline, resources
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import archive
from metamcp_deploy.release.archive import Entry
from metamcp_deploy.release.artifact_content import ABOUT, ANY, FORMAT, Held, content_of, invalid, read
from metamcp_deploy.release.build import bundle
from metamcp_deploy.release.build.cache import digests
from metamcp_deploy.release.placing import placed
from metamcp_deploy.release.releases import Release
from metamcp_deploy.target import databricks_yml


def write(project: Project, to: Path) -> dict[str, Any]:
    """Writes the bundle that `build` left, if it was verified, to a file.

    Returns:
        `path`, `sha256`, `bytes` and `release`.

    Raises:
        DeployError: STAGE_MISSING; ARTIFACT_INVALID for a bundle that was changed or not verified; FILE_ACCESS.
    """
    facts = pipeline.facts(project.state, "build", "build --archive")
    if reason := bundle.changed(project.bundle, facts["contents"]):
        raise invalid(project.bundle, reason, "Run `metamcp-deploy build`, which makes it again.")
    if not facts.get("verified"):
        why = f"holds release {facts['release']}, which was not verified"
        raise invalid(
            project.bundle, why, "Build it without --no-verify; only verified releases are archived."
        )
    release = json.loads((project.bundle / "app" / "release.json").read_text())
    prepared = pipeline.recorded(project.state, "prepare")
    about = {
        "format": FORMAT,
        "tool": __version__,
        "release": release["id"],
        "kind": prepared["facts"].get("kind") if prepared else facts.get("kind"),
        "files": digests(project.bundle),
    }
    names = resources.files_below(project.bundle)
    packed = archive.pack(
        [
            Entry(ABOUT, (json.dumps(about, indent=1) + "\n").encode()),
            *(Entry(p.as_posix(), (project.bundle / p).read_bytes()) for p in names),
        ]
    )
    _write(to, packed)
    written = {"path": str(to), "sha256": fingerprint.of_bytes(packed), "bytes": len(packed)}
    size = f"{len(packed) / 1e6:.1f} MB, SHA-256 {written['sha256']}"
    events.emit(events.Note(f"{to} holds release {release['id']}: {size}"))
    return {**written, "release": release["id"]}


def step(project: Project, source: Path, held: Held = ANY) -> pipeline.Step:
    """In place of `build` and what it needs: the bundle out of a file.

    Raises:
        DeployError: FILE_ACCESS, when the file cannot be read; ARTIFACT_INVALID, when its digest is another one.
    """
    digest = fingerprint.of_bytes(content_of(source))
    held.check(source, digest)
    return pipeline.Step(
        name="build",
        inputs={"archive": digest},
        params={"databricks.yml": fingerprint.of_value(databricks_yml.text(project))},
        outputs=(project.bundle,),
        run=lambda: take(project, source, held),
        summary=lambda facts: f"release {facts['release']} from {source.name}, {facts['files']} files",
        valid=lambda facts: _changed(project, facts, held),
    )


def _changed(project: Project, facts: pipeline.Facts, held: Held) -> str | None:
    if held.release not in (None, facts.get("release")):
        return f"release {held.release} is wanted"
    return bundle.changed(project.bundle, facts.get("contents"))


def take(project: Project, source: Path, held: Held = ANY) -> pipeline.Facts:
    """Puts the bundle of a file in place of the one that is there, after everything in it was checked.

    Returns:
        Facts as those of `build`: release, kind, files, bytes, contents, verified.

    Raises:
        DeployError: as `read`; CONFIG_CONFLICT for a release of another schema or commit than the settings;
            TARGET_PROTECTED.
    """
    found = read(source, held)
    _check_settings(project, source, found.about, found.release)
    with placed(project.bundle) as fresh:
        (fresh / "app").mkdir()
        for name, content in found.files.items():
            (fresh / name).write_bytes(content)
        # What the targets of these settings have, not those of whoever built the file.
        (fresh / databricks_yml.FILE).write_text(databricks_yml.text(project), encoding="utf-8")
        contents = digests(fresh)
    sizes = [len(content) for name, content in found.files.items() if name.startswith("app/")]
    return {
        "release": found.release["id"],
        "kind": found.about.get("kind"),
        "files": len(sizes),
        "bytes": sum(sizes),
        "contents": contents,
        "verified": found.release.get("verified"),
    }


def release(project: Project, source: Path, folder: Path, held: Held = ANY) -> Release:
    """The release of a file, for a plan: unpacked into an empty folder, after all checks that `take` makes.

    Raises:
        DeployError: as `take`.
    """
    found = read(source, held)
    _check_settings(project, source, found.about, found.release)
    files = {}
    for name, content in found.files.items():
        if name.startswith("app/"):
            files[name.removeprefix("app/")] = path = folder / Path(name).name
            path.write_bytes(content)
    return Release(str(found.release["id"]), files)


def _check_settings(project: Project, source: Path, about: dict[str, Any], release: dict[str, Any]) -> None:
    settings = project.settings
    config.guard(project, about.get("kind"))
    upstream = release.get("upstream") or {}
    wanted = {
        "database.schema": (settings.database.schema_, release.get("schema")),
        "upstream.commit": (settings.upstream.commit or upstream.get("commit"), upstream.get("commit")),
    }
    for key, (ours, theirs) in wanted.items():
        if ours != theirs:
            raise DeployError(
                Code.CONFIG_CONFLICT,
                f"{source} holds a release with {key} {theirs}, but the settings say {ours}.",
                hint=f"Deploy the file that was built for these settings, or set {key} to {theirs}.",
            )
    if (ref := upstream.get("ref")) != settings.upstream.ref:
        text = f"{source.name} holds MetaMCP {ref}, and that is deployed; the settings name {settings.upstream.ref}."
        events.emit(events.Warned(text, f"Set upstream.ref to {ref} to say so."))


def _write(to: Path, content: bytes) -> None:
    try:
        atomic.write(to, content, parents=False)
    except OSError as e:
        raise DeployError(
            Code.FILE_ACCESS,
            f"{to} cannot be written: {e.strerror}.",
            hint="Name a file in a folder that is there and that you may write to.",
        ) from e
