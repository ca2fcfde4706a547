"""The id of a release covers all that it runs and all that the launcher obeys; reading it back knows no mercy."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy.config.project import Project
from metamcp_deploy.release import archive, identity
from metamcp_deploy.release.archive import Entry
from metamcp_deploy.release.build import node
from metamcp_deploy.resources import PACKAGE

About = dict[str, Any]
PARTS = {name: [Entry(f"{name}.mjs", name.encode() * 99)] for name in identity.PARTS}
OWN = {"app.yaml": b"command: [node, start.mjs]", "start.mjs": b"start"}
ROUTES = [
    {"prefix": "/trpc", "to": "/trpc/frontend", "exact": False},
    {"prefix": "/service", "exact": False, "closed": "out.example.com"},
]


def release(form: int = 2) -> dict[str, bytes]:
    """The files of a small release."""
    files = {**OWN, **{f"{name}.tar.gz": archive.pack(entries) for name, entries in PARTS.items()}}
    about: About = {
        "format": form,
        "tool": "0.2.0",
        "upstream": {"url": "https://example.com/m.git", "ref": "v1", "commit": "a" * 40},
        "schema": "metamcp_app",
        "source_maps": False,
        "routes": ROUTES,
        "parts": {
            name: {"file": f"{name}.tar.gz", "entry": f"{name}.mjs", "sha256": "", "bytes": 0}
            for name in PARTS
        },
        "left_out": [],
    }
    about["parts"]["frontend"]["keys"] = ["frontend.mjs"]
    about["parts"]["migrations"]["journal"] = ["0000_a"]
    about["id"] = identity.of({**PARTS, "": [Entry(n, c) for n, c in OWN.items()]}, about)
    return fitted({**files, "release.json": json.dumps(about).encode()})


def fitted(files: dict[str, bytes]) -> dict[str, bytes]:
    """With the digests in release.json that fit, as somebody who changed a file would leave it."""
    about = json.loads(files["release.json"])
    for name, part in about["parts"].items():
        content = files.get(f"{name}.tar.gz", b"")
        part |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return {**files, "release.json": json.dumps(about).encode()}


def id_of(files: dict[str, bytes]) -> str:
    return str(json.loads(files["release.json"])["id"])


def edited(change: Callable[[About], object], form: int = 2) -> tuple[dict[str, bytes], str]:
    files = release(form)
    wanted, about = id_of(files), json.loads(files["release.json"])
    change(about)
    return {**files, "release.json": json.dumps(about).encode()}, wanted


COVERED: dict[str, Callable[[About], object]] = {
    "closed route dropped": lambda a: a["routes"].pop(),
    "route to the inspector": lambda a: a["routes"].append({"prefix": "/pwn", "to": "/mcp-proxy/server"}),
    "schema": lambda a: a.update(schema="public"),
    "entry": lambda a: a["parts"]["backend"].update(entry="other.mjs"),
    "keys": lambda a: a["parts"]["frontend"].update(keys=[]),
    "journal": lambda a: a["parts"]["migrations"].update(journal=[]),
    "source maps": lambda a: a.update(source_maps=True),
    "commit": lambda a: a["upstream"].update(commit="b" * 40),
    "format": lambda a: a.update(format=1),
    "a field of a later version": lambda a: a.update(handlers=["/api"]),
}


@pytest.mark.parametrize("what", COVERED)
def test_what_the_launcher_obeys_counts(what: str) -> None:
    files, wanted = edited(COVERED[what])
    with pytest.raises(identity.OtherReleaseError, match="its content is"):
        identity.check(files, wanted)


def test_where_it_comes_from_and_how_it_is_packed_do_not_count() -> None:
    def change(about: About) -> None:
        about |= {"tool": "9", "verified": None, "advisories": ["x"], "files": {}, "left_out": ["x"]}
        about["upstream"] |= {"url": None, "ref": "main"}

    files, wanted = edited(change)
    assert identity.check(files, wanted)["schema"] == "metamcp_app"
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    other = packer.compress(zlib.decompress(files["backend.tar.gz"], 31)) + packer.flush()
    assert other != files["backend.tar.gz"]
    identity.check(fitted({**files, "backend.tar.gz": other}), wanted)


def test_format_1_is_read_and_leaves_the_routes_out() -> None:
    for change in (COVERED["closed route dropped"], COVERED["schema"]):
        files, wanted = edited(change, form=1)
        identity.check(files, wanted)
    files = release(form=1)
    with pytest.raises(identity.OtherReleaseError):
        identity.check({**files, "start.mjs": b"hers"}, id_of(files))


def tar(
    *members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT, more: dict[str, str] | None = None
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, pax_headers=more) as t:
        for member in members:
            t.addfile(member, io.BytesIO(b"x" * member.size))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (b"hers", "is damaged"),
        (archive.pack(PARTS["backend"])[:-9], "is cut off"),
        (archive.pack(PARTS["backend"]) * 2, "goes on after its end"),
        (archive.pack(PARTS["backend"]) + b"more", "goes on after its end"),
        (archive.gzip(b"\0" * 2_000_000), "unpacks to more than"),
        (archive.gzip(tar(member("l", tarfile.SYMTYPE, linkname="x"))), "no plain file"),
        (archive.gzip(tar(member("l", tarfile.LNKTYPE, linkname="x"))), "no plain file"),
        (archive.gzip(tar(member("d", tarfile.DIRTYPE))), "no plain file"),
        (archive.gzip(tar(member("s", tarfile.GNUTYPE_SPARSE), form=tarfile.GNU_FORMAT)), "another kind"),
        (archive.gzip(tar(member("n" * 200), form=tarfile.GNU_FORMAT)), "another kind"),
        (archive.gzip(tar(member("a"), more={"path": "b"})), "no plain file"),
        (archive.gzip(tar(member("a", pax_headers={"GNU.sparse.realsize": "9"}))), "more than a name"),
        (archive.gzip(tar(member("a", pax_headers={"size": "9"}))), "more than a name"),
        (archive.gzip(tar(member("a", size=999))[:700]), "damaged or of another kind"),
        (archive.gzip(tar(member("a"))[:512]), "has no end"),
        (archive.gzip(tar(member("a")) + tar(member("b"))), "goes on after it"),
    ],
)
def test_an_archive_that_two_readers_could_read_in_two_ways_is_refused(packed: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        archive.unpack(packed)
    files = release()
    with pytest.raises(identity.OtherReleaseError):
        identity.check(fitted({**files, "backend.tar.gz": packed}), id_of(files))


def test_bounds_on_count_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive.pack([Entry(f"{n}.js", b"") for n in range(9)])
    assert len(archive.unpack(packed)) == 9
    monkeypatch.setattr(archive, "ENTRIES", 8)
    with pytest.raises(ValueError, match="more than 8 files"):
        archive.unpack(packed)
    monkeypatch.setattr(archive, "LARGEST", 9)
    with pytest.raises(ValueError, match="more than 9 bytes"):
        archive.unpack(packed)


def test_what_is_packed_is_unpacked(built_sample: Project) -> None:
    long = Entry("/".join(["a" * 90] * 4) + "/é[x] (y).js", b"1" * 5000, 0o755)
    assert archive.unpack(archive.pack([long, Entry("b", b"")])) == [long, Entry("b", b"")]
    app = built_sample.bundle / "app"
    about = identity.check({name: (app / name).read_bytes() for name in identity.RUN}, id_of_built(app))
    assert about["routes"]
    assert set(identity.BESIDE) == {p.name for p in app.iterdir()} - set(identity.RUN)


def id_of_built(app: Path) -> str:
    return str(json.loads((app / "release.json").read_text())["id"])


def test_the_launcher_sees_nothing_of_release_json_that_the_id_does_not_cover(tmp_path: Path) -> None:
    files = release()
    about = json.loads(files["release.json"])
    more = {name: about.get(name, "x") for name in (*identity.DESCRIPTIVE, "upstream")}
    (tmp_path / "release.json").write_text(json.dumps({**about, **more}))
    module = (PACKAGE / "launcher/release/release.mjs").as_uri()
    script = f"import {{ readRelease }} from {json.dumps(module)};\n"
    script += f"console.log(JSON.stringify(readRelease({json.dumps(str(tmp_path))})));"
    argv = [str(node.find().program), "--input-type=module", "-e", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == {"format", "schema", "source_maps", "routes", "parts"}
