"""A bundle as one file: the same bytes each time, and refused unless it is exactly what was archived."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import archive, artifact, identity, releases
from metamcp_deploy.release.artifact_content import Held
from metamcp_deploy.release.build.cache import digests
from metamcp_deploy.stages import deploy, from_file, full_plan

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def archived(built_sample: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archived") / "metamcp.release"
    artifact.write(built_sample, path)
    return path


@pytest.fixture
def elsewhere(built_sample: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty folder on a machine that has no program at all."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    return replace(built_sample, folder=tmp_path / "elsewhere")


def take(project: Project, source: Path) -> pipeline.Outcome:
    return pipeline.execute(artifact.step(project, source), project.state)


def test_the_same_bytes_and_what_it_tells(
    built_sample: Project, archived: Path, tmp_path: Path, emitted: list[events.Event]
) -> None:
    told = artifact.write(built_sample, tmp_path / "again")
    content = archived.read_bytes()
    assert (tmp_path / "again").read_bytes() == content
    release = pipeline.facts(built_sample.state, "build", "a test")["release"]
    digest = hashlib.sha256(content).hexdigest()
    assert told == {
        "path": str(tmp_path / "again"),
        "sha256": digest,
        "bytes": len(content),
        "release": release,
    }
    assert [digest in e.text for e in emitted if isinstance(e, events.Note)] == [True]
    assert [p.name for p in tmp_path.iterdir()] == ["again"]


def test_taken_elsewhere_it_is_the_same_release(
    built_sample: Project, archived: Path, elsewhere: Project
) -> None:
    outcome = take(elsewhere, archived)
    assert digests(elsewhere.bundle) == digests(built_sample.bundle)
    before = pipeline.facts(built_sample.state, "build", "a test")
    for fact in ("release", "files", "bytes", "contents"):
        assert outcome.facts[fact] == before[fact]
    assert outcome.facts["kind"] == "tag"
    assert outcome.facts["verified"]
    assert releases.built(elsewhere).id == before["release"]
    assert not take(elsewhere, archived).ran
    (elsewhere.bundle / "app/start.mjs").write_text("edited")
    assert take(elsewhere, archived).reason == "app/start.mjs in bundle was changed by hand"


def test_a_plan_knows_the_release_of_a_file_and_takes_nothing(
    built_sample: Project, archived: Path, elsewhere: Project, tmp_path: Path
) -> None:
    (folder := tmp_path / "plan").mkdir()
    found = artifact.release(elsewhere, archived, folder)
    built = releases.built(built_sample)
    assert (found.id, found.sizes) == (built.id, built.sizes)
    assert not elsewhere.folder.exists()
    with full_plan.release_to_send(elsewhere, from_file.Wishes(archived), building=True) as planned:
        assert planned is not None
        assert (planned.id, planned.sizes) == (built.id, built.sizes)


def test_archiving_what_was_taken_gives_the_same_file(
    archived: Path, elsewhere: Project, tmp_path: Path
) -> None:
    take(elsewhere, archived)
    artifact.write(elsewhere, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == archived.read_bytes()


def unpacked(archived: Path) -> Files:
    with tarfile.open(archived) as tar:
        return {m.name: f.read() for m in tar if (f := tar.extractfile(m)) is not None}


def packed(files: Files, to: Path, more: tarfile.TarInfo | None = None) -> Path:
    with tarfile.open(to, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if more is not None:
            tar.addfile(more)
    return to


def described(files: Files, **about: object) -> Files:
    """With an artifact.json that fits, as somebody who knows the format would write it."""
    known = json.loads(files["artifact.json"])
    contents = {n: hashlib.sha256(c).hexdigest() for n, c in files.items() if n != "artifact.json"}
    return {**files, "artifact.json": json.dumps({**known, "files": contents, **about}).encode()}


def edited(files: Files, name: str, change: Callable[[dict[str, object]], object]) -> Files:
    document = json.loads(files[name])
    change(document)
    return {**files, name: json.dumps(document).encode()}


def other_backend(files: Files) -> Files:
    """Another program, with every digest made to fit but the id."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("index.mjs"), io.BytesIO())
    content = sink.getvalue()
    digest = hashlib.sha256(content).hexdigest()

    def fit(release: dict[str, object]) -> None:
        release["files"]["backend.tar.gz"]["sha256"] = digest  # type: ignore[index]
        release["parts"]["backend"]["sha256"] = digest  # type: ignore[index]

    return described(edited({**files, "app/backend.tar.gz": content}, "app/release.json", fit))


def led_to_the_inspector(files: Files) -> Files:
    """The closed route dropped and another added, with every digest made to fit."""

    def change(release: dict[str, object]) -> None:
        routes = [r for r in release["routes"] if "closed" not in r]  # type: ignore[attr-defined]
        release["routes"] = [*routes, {"prefix": "/pwn", "to": "/mcp-proxy/server/stdio", "exact": True}]

    return described(edited(files, "app/release.json", change))


def without(files: Files, name: str) -> Files:
    return {n: c for n, c in files.items() if n != name}


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda f: {**f, "app/start.mjs": b"other"}, Code.ARTIFACT_INVALID, "another app/start.mjs"),
        (lambda f: {**f, "databricks.yml": b"other"}, Code.ARTIFACT_INVALID, "another databricks.yml"),
        (lambda f: without(f, "app/sbom.cdx.json"), Code.ARTIFACT_INVALID, "another app/sbom.cdx.json"),
        (lambda f: {**f, "app/more": b""}, Code.ARTIFACT_INVALID, "another app/more"),
        (lambda f: described({**f, "app/start.mjs": b"other"}), Code.ARTIFACT_INVALID, "but its content is"),
        (
            lambda f: described({**f, "app/more": b""}),
            Code.ARTIFACT_INVALID,
            "app/more, which no release does",
        ),
        (lambda f: described(without(f, "app/app.yaml")), Code.ARTIFACT_INVALID, "has no app.yaml"),
        (other_backend, Code.ARTIFACT_INVALID, "but its content is"),
        (lambda f: described(f, release="0" * 16), Code.ARTIFACT_INVALID, "but its content is"),
        (lambda f: without(f, "artifact.json"), Code.ARTIFACT_INVALID, "no readable artifact.json"),
        (lambda f: {**f, "artifact.json": b"[]"}, Code.ARTIFACT_INVALID, "no readable artifact.json"),
        (lambda f: {**f, "artifact.json": b"[" * 9**5}, Code.ARTIFACT_INVALID, "no readable artifact.json"),
        (lambda f: {**f, "artifact.json": b'{"format": 1}'}, Code.ARTIFACT_INVALID, "does not say"),
        (lambda f: without(f, "app/release.json"), Code.ARTIFACT_INVALID, "no readable app/release.json"),
        (lambda f: described(f, format="x"), Code.ARTIFACT_INVALID, "format 'x'"),
        (lambda f: described(f, format=2), Code.TOOL_VERSION, "format 2"),
        (
            lambda f: described(edited(f, "app/release.json", lambda r: r.update(format=3))),
            Code.TOOL_VERSION,
            "format 3",
        ),
        (led_to_the_inspector, Code.ARTIFACT_INVALID, "but its content is"),
        (lambda f: {**f, "../out": b""}, Code.ARTIFACT_INVALID, "'../out'"),
        (lambda f: {**f, "/out": b""}, Code.ARTIFACT_INVALID, "'/out'"),
        (lambda f: {**f, "app/..": b""}, Code.ARTIFACT_INVALID, "'app/..'"),
        (lambda f: {**f, "app/a/b": b""}, Code.ARTIFACT_INVALID, "'app/a/b'"),
    ],
)
def test_refused_and_nothing_replaced(
    archived: Path,
    elsewhere: Project,
    tmp_path: Path,
    change: Callable[[Files], Files],
    code: Code,
    said: str,
) -> None:
    elsewhere.bundle.mkdir(parents=True)
    (elsewhere.bundle / "databricks.yml").write_text("former")
    with pytest.raises(DeployError) as e:
        take(elsewhere, packed(change(unpacked(archived)), tmp_path / "altered"))
    assert e.value.code is code
    assert said in e.value.message
    assert [p.name for p in elsewhere.build.rglob("*")] == ["bundle", "databricks.yml"]


@pytest.mark.parametrize("kind", [*b"1256", *b"S"])
def test_only_plain_files_are_taken(archived: Path, elsewhere: Project, tmp_path: Path, kind: int) -> None:
    link = tarfile.TarInfo("app/link")
    link.type, link.linkname = bytes([kind]), "databricks.yml"
    with pytest.raises(DeployError, match="no plain file"):
        take(elsewhere, packed(unpacked(archived), tmp_path / "altered", link))


def test_a_sparse_file_of_a_terabyte_is_refused_unread(
    archived: Path, elsewhere: Project, tmp_path: Path
) -> None:
    hole = tarfile.TarInfo("app/hole")
    hole.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(10**12)}
    with pytest.raises(DeployError, match="says more than a name") as e:
        take(elsewhere, packed(unpacked(archived), tmp_path / "altered", hole))
    assert e.value.code is Code.ARTIFACT_INVALID


def test_what_never_ends_is_not_read(elsewhere: Project, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for endless in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(DeployError, match="is no plain file"):
            artifact.step(elsewhere, endless)
    with (tmp_path / "big").open("wb") as big:
        big.truncate(10**12)
    with pytest.raises(DeployError, match="has more than 100000000 bytes"):
        artifact.step(elsewhere, tmp_path / "big")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda whole: whole[: len(whole) // 2], "it is cut off"),
        (lambda whole: whole[:-4], "it is cut off"),
        (lambda whole: whole[:5000] + b"\0" + whole[5001:], "."),
        (lambda whole: b"PK\3\4 something else", "is not what"),
        (lambda whole: gzip.compress(b"something else" * 100), "is not what"),
        (lambda whole: b"", "is not what"),
    ],
)
def test_no_such_file(
    archived: Path, elsewhere: Project, tmp_path: Path, content: Callable[[bytes], bytes], said: str
) -> None:
    (tmp_path / "file").write_bytes(content(archived.read_bytes()))
    with pytest.raises(DeployError) as e:
        take(elsewhere, tmp_path / "file")
    assert e.value.code is Code.ARTIFACT_INVALID
    assert said in e.value.message


def test_held_against_what_its_maker_said(archived: Path, elsewhere: Project, tmp_path: Path) -> None:
    digest, release = hashlib.sha256(archived.read_bytes()).hexdigest(), id_in(archived)
    for held, said in ((Held("0" * 64), "--sha256"), (Held(digest, "0" * 16), "--id")):
        with pytest.raises(DeployError, match=said) as e:
            pipeline.execute(artifact.step(elsewhere, archived, held), elsewhere.state)
        assert e.value.code is Code.ARTIFACT_INVALID
    assert not elsewhere.bundle.exists()
    held = Held(digest.upper(), release)
    assert pipeline.execute(artifact.step(elsewhere, archived, held), elsewhere.state).ran
    assert not pipeline.execute(artifact.step(elsewhere, archived, held), elsewhere.state).ran
    with pytest.raises(DeployError, match="--id"):
        pipeline.execute(artifact.step(elsewhere, archived, Held(release="0" * 16)), elsewhere.state)


def test_a_release_of_format_1_needs_the_digest_of_its_file(
    archived: Path, elsewhere: Project, tmp_path: Path
) -> None:
    """Its id covers no route."""
    files = unpacked(archived)
    about = json.loads(files["app/release.json"])
    parts = {name: archive.unpack(files[f"app/{name}.tar.gz"]) for name in identity.PARTS}
    parts[""] = [archive.Entry(name, files[f"app/{name}"]) for name in identity.OWN]
    older = identity.of(parts, {"format": 1})
    files = described(
        {**files, "app/release.json": json.dumps({**about, "format": 1, "id": older}).encode()}, release=older
    )
    source = packed(files, tmp_path / "older")
    with pytest.raises(DeployError, match="of format 1") as e:
        take(elsewhere, source)
    assert (e.value.code, "--sha256" in e.value.hint) == (Code.RELEASE_UNPROVEN, True)
    held = Held(hashlib.sha256(source.read_bytes()).hexdigest())
    outcome = pipeline.execute(artifact.step(elsewhere, source, held), elsewhere.state)
    assert (outcome.facts["release"], releases.built(elsewhere).id) == (older, older)


def id_in(archived: Path) -> str:
    return str(json.loads(unpacked(archived)["artifact.json"])["release"])


def test_a_file_that_is_not_there(elsewhere: Project, tmp_path: Path) -> None:
    with pytest.raises(DeployError) as e:
        artifact.step(elsewhere, tmp_path / "none")
    assert e.value.code is Code.FILE_ACCESS


def test_settings_that_the_release_does_not_fit(
    archived: Path, elsewhere: Project, emitted: list[events.Event]
) -> None:
    settings = elsewhere.settings
    database = settings.database.model_copy(update={"schema_": "other"})
    locked = settings.upstream.model_copy(update={"commit": "a" * 40})
    for update, key in (
        ({"database": database}, "database.schema"),
        ({"upstream": locked}, "upstream.commit"),
    ):
        with pytest.raises(DeployError, match=key) as e:
            take(replace(elsewhere, settings=settings.model_copy(update=update)), archived)
        assert e.value.code is Code.CONFIG_CONFLICT
    moved = settings.model_copy(update={"upstream": settings.upstream.model_copy(update={"ref": "v9"})})
    take(replace(elsewhere, settings=moved), archived)
    assert [e.text.startswith("metamcp.release holds") for e in emitted if isinstance(e, events.Warned)] == [
        True
    ]


def test_what_was_not_verified_or_was_changed_is_not_archived(
    archived: Path, elsewhere: Project, tmp_path: Path
) -> None:
    take(elsewhere, archived)
    record = elsewhere.state / "build.json"
    known = json.loads(record.read_text())
    record.write_text(json.dumps({**known, "facts": {**known["facts"], "verified": None}}))
    with pytest.raises(DeployError, match="not verified"):
        artifact.write(elsewhere, tmp_path / "file")
    record.write_text(json.dumps(known))
    (elsewhere.bundle / "app/start.mjs").write_text("edited")
    with pytest.raises(DeployError, match="changed by hand"):
        artifact.write(elsewhere, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_place_that_cannot_be_written_is_named(built_sample: Project, tmp_path: Path) -> None:
    with pytest.raises(DeployError) as e:
        artifact.write(built_sample, tmp_path / "none" / "file")
    assert e.value.code is Code.FILE_ACCESS


def test_stages_from_a_file() -> None:
    assert [stage.NAME for stage in deploy.ARCHIVED] == ["build", "bundle-deploy", "app-deploy"]
