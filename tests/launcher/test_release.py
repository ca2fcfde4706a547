"""Archives and release.json: what is unpacked, what is refused, and that nothing is written for what is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.launcher import launcher_programs as programs
from tests.launcher.launcher_app import LAUNCHER, App, archive

Launch = Callable[..., App]
EXTRACT = f"""
import fs from "node:fs";
import {{ extract }} from {json.dumps((LAUNCHER / "release/tar.mjs").as_uri())};
const [, file, folder, size] = process.argv;
const all = fs.readFileSync(file);
async function* pieces() {{
  for (let i = 0; i < all.length; i += Number(size)) yield all.subarray(i, i + Number(size));
}}
try {{
  console.log(await extract(pieces(), folder));
}} catch (error) {{
  console.log(error.message);
  process.exitCode = 1;
}}
"""


@pytest.fixture
def extract(node: Path, tmp_path: Path) -> Callable[..., tuple[bool, str, Path]]:
    """Unpacks a plain tar in pieces of a size; tells whether it went well, what was said, and where it is."""

    def run(data: bytes, size: int = 65536) -> tuple[bool, str, Path]:
        file, folder = tmp_path / "a.tar", tmp_path / f"out-{size}"
        file.write_bytes(data)
        folder.mkdir()
        argv = [str(node), "--input-type=module", "-e", EXTRACT, str(file), str(folder), str(size)]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.stderr == ""
        return done.returncode == 0, done.stdout.strip(), folder

    return run


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as t:
        for info, data in members:
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(
    name: str, data: bytes = b"", *, mode: int = 0o644, **fields: object
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.mode = mode
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


LONG = "/".join(["folder-with-a-name"] * 12) + "/[[...slug]]-ümlaut-" + "x" * 120 + ".js"


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("size", [1 << 20, 777, 512, 1])
def test_names_modes_and_contents(
    extract: Callable[..., tuple[bool, str, Path]], form: int, size: int
) -> None:
    contents = {
        LONG: b"long",
        "a/b.txt": bytes(range(256)) * 5,
        "empty": b"",
        "exact": b"x" * 512,
        "x" * 100: b"hundred",
    }
    data = tar(
        member("a", type=tarfile.DIRTYPE, mode=0o755),
        *(member(name, content) for name, content in contents.items()),
        member("run.sh", b"#!", mode=0o755),
        form=form,
    )
    well, said, folder = extract(data, size)
    assert (well, said) == (True, "6")
    for name, content in contents.items():
        assert (folder / name).read_bytes() == content
    assert (folder / "run.sh").stat().st_mode & 0o111
    assert not (folder / "exact").stat().st_mode & 0o111


def test_ustar_prefix_names(extract: Callable[..., tuple[bool, str, Path]]) -> None:
    name = "p" * 90 + "/" + "n" * 90
    well, _, folder = extract(tar(member(name, b"data"), form=tarfile.USTAR_FORMAT))
    assert well
    assert (folder / name).read_bytes() == b"data"


GOOD = tar(member("a", b"1"), member("b", b"2" * 1000))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (tar(member("../out", b"x")), "not a path below"),
        (tar(member("a/../../out", b"x")), "not a path below"),
        (tar(member("/etc/out", b"x")), "not a path below"),
        (tar(member("link", type=tarfile.SYMTYPE, linkname="/etc")), "only files and folders"),
        (tar(member("link", type=tarfile.LNKTYPE, linkname="a")), "only files and folders"),
        (tar(member("pipe", type=tarfile.FIFOTYPE)), "only files and folders"),
        (tar(member("a", b"1"), member("a", b"2")), "EEXIST"),
        (tar(member("a", b"1"), member("a/b", b"2")), "EEXIST"),
        (GOOD[:1500], "ends too early"),
        (GOOD[:600], "ends too early"),
        (b"", "ends too early"),
        (b"\1" * 512 + GOOD, "a header of the archive"),
        (GOOD[:512] + b"\0" * 0 + GOOD[1024:], "damaged"),
        (GOOD + GOOD, "goes on after its end"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused(
    extract: Callable[..., tuple[bool, str, Path]], tmp_path: Path, data: bytes, said: str
) -> None:
    well, text, _ = extract(data)
    assert not well
    assert said in text
    assert not (tmp_path / "out").exists()


def folder_of(app: App) -> Path:
    """Where this launcher unpacked to."""
    (found,) = (app.scratch / "metamcp-release").glob(f"{app.process.pid}-*")
    return found


def test_each_start_unpacks_anew_and_removes_what_the_ones_before_left(launch: Launch) -> None:
    first = launch().up()
    second = launch().up()
    kept, abandoned = folder_of(second), folder_of(first)
    (abandoned / "backend" / "index.mjs").write_text("throw new Error('altered');")
    assert {path.name for path in kept.iterdir()} == {"backend", "frontend", "migrations"}
    first.stop()
    (kept.parent / "older").mkdir()
    third = launch().up()
    third.until(lambda: set(kept.parent.iterdir()) == {kept, folder_of(third)})
    assert "altered" not in third.log
    assert second.get("/health").status_code == 200


def test_a_link_in_place_of_the_common_folder_is_not_followed(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "kept").mkdir(parents=True)
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "metamcp-release").symlink_to(tmp_path / "elsewhere")
    app = launch().up()
    app.logged("MetaMCP is up")
    time.sleep(0.2)
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["kept"]
    assert list(app.scratch.glob(f"metamcp-release-{app.process.pid}-*"))


def test_a_service_starts_again_from_the_files_of_the_release(launch: Launch) -> None:
    app = launch().up()
    backend = folder_of(app) / "backend"
    stands = backend.stat().st_ino
    (backend / "index.mjs").write_text("throw new Error('altered');")
    (backend / "preload.mjs").unlink()
    (backend / "node_modules").mkdir()
    app.get("/api/die")
    app.away_at("/api/x")
    app.up()
    assert "altered" not in app.log
    assert not (backend / "node_modules").exists()
    assert backend.stat().st_ino == stands, "the front end stands in it"
    server = folder_of(app) / "frontend" / "apps" / "frontend" / "server.js"
    shutil.rmtree(server.parents[2])
    (backend / "preload.mjs").write_text("throw new Error('altered');")
    app.get("/die")
    app.away_at("/")
    app.until(lambda: app.get("/").status_code == 200)
    assert "altered" not in app.log


def test_a_release_that_was_altered_is_not_started_again(launch: Launch, tmp_path: Path) -> None:
    app = launch().up()
    packed = tmp_path / "source" / "backend.tar.gz"
    good = packed.read_bytes()
    packed.write_bytes(archive({"index.mjs": "throw new Error('altered');"}))
    app.get("/api/die")
    app.until(lambda: app.get("/api/x").json().get("code") == "part_altered")
    packed.write_bytes(good)
    app.up()


def many_files(folder: Path) -> None:
    files: dict[str, str | bytes] = {f"d{i % 10}/f{i}.js": bytes(65_536) for i in range(200)}
    replace(folder, archive({**files, "apps/frontend/server.js": programs.FRONTEND}))


# A disk that takes 20 ms for each file of the front end.
SLOW = """
import fs from "node:fs";
const { openSync } = fs;
fs.openSync = (file, ...more) => {
  if (String(file).includes("frontend.new")) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  return openSync(file, ...more);
};
"""


def test_an_attempt_while_the_one_before_still_unpacks(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "slow.mjs").write_text(SLOW)
    app = launch(
        migrate=programs.migrate_failing_once("database_unreachable"),
        prepare=many_files,
        env={"NODE_OPTIONS": f"--import {tmp_path / 'slow.mjs'}"},
    ).up()
    again = app.log.rindex("Applying database migrations")
    assert again < app.log.index("Unpacked frontend: 201 files"), "it was not yet unpacked"
    assert app.get("/").json()["service"] == "frontend"
    assert app.log.count("Unpacked frontend") == 1
    assert app.log.count("frontend says hello") == 1


# The disk is full for the first three folders that are made, at the places where that was not expected.
FULL = """
import fs from "node:fs";
let left = 3;
for (const name of ["mkdtempSync", "mkdirSync"]) {
  const own = fs[name];
  fs[name] = (folder, ...more) => {
    if (String(folder).includes("metamcp-release") && left-- > 0) {
      throw Object.assign(new Error(`CODE: ${folder}`), { code: "CODE", syscall: "mkdir" });
    }
    return own(folder, ...more);
  };
}
"""


@pytest.mark.parametrize(
    ("errno", "code"), [("ENOSPC", "disk_full"), ("EDQUOT", "disk_full"), ("EMFILE", "unpack_failed")]
)
def test_what_the_disk_refuses_is_tried_again(launch: Launch, tmp_path: Path, errno: str, code: str) -> None:
    (tmp_path / "full.mjs").write_text(FULL.replace("CODE", errno))
    app = launch(env={"NODE_OPTIONS": f"--import {tmp_path / 'full.mjs'}"})
    body = app.away().json()
    assert (body["step"], body["code"]) == ("unpack", code)
    app.up()
    assert "launcher_bug" not in app.log


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda folder: (folder / "frontend.tar.gz").write_bytes(b"other"), "part_altered"),
        (lambda folder: (folder / "frontend.tar.gz").unlink(), "part_missing"),
        (lambda folder: (folder / "release.json").unlink(), "release_invalid"),
        (lambda folder: (folder / "release.json").write_text("{"), "release_invalid"),
        (lambda folder: edit(folder, format=1), "release_invalid"),
        (lambda folder: edit(folder, schema='x"; drop'), "release_invalid"),
        (lambda folder: edit(folder, parts={}), "release_invalid"),
        (lambda folder: replace(folder, b"no gzip"), "part_damaged"),
        (lambda folder: replace(folder, gzip.compress(GOOD)[:-40]), "part_damaged"),
        (lambda folder: replace(folder, archive({"other.js": ""})), "part_incomplete"),
    ],
)
def test_a_release_that_is_not_whole(launch: Launch, change: Callable[[Path], object], code: str) -> None:
    app = launch(prepare=change)
    assert app.away().json()["code"] == code
    app.logged("Not tried again")
    assert not list(app.scratch.glob("metamcp-release/*/*.new"))


def edit(folder: Path, **fields: object) -> None:
    file = folder / "release.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def replace(folder: Path, data: bytes) -> None:
    release = json.loads((folder / "release.json").read_text())
    release["parts"]["frontend"]["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / "frontend.tar.gz").write_bytes(data)
    edit(folder, parts=release["parts"])


def test_the_port_answers_while_forty_megabytes_are_unpacked(launch: Launch, tmp_path: Path) -> None:
    import random

    numbers = random.Random(1)
    files: dict[str, str | bytes] = {
        f"node_modules/p{i % 80}/f{i}.js": numbers.randbytes(2_000) + b"x" * 25_000 for i in range(1500)
    }
    files["apps/frontend/server.js"] = programs.FRONTEND

    packed = archive(files)
    began = time.monotonic()
    with tarfile.open(fileobj=io.BytesIO(packed)) as other:
        other.extractall(tmp_path / "other", filter="data")
    usual = (
        time.monotonic() - began
    )  # of a program that does nothing else, on a machine as busy as this one is
    app = launch(prepare=lambda folder: replace(folder, packed))
    slowest = 0.0
    session = requests.Session()
    deadline = time.monotonic() + 120
    while "MetaMCP is up" not in app.log and time.monotonic() < deadline:
        began = time.monotonic()
        try:
            session.get(app.url, timeout=120)
        except requests.ConnectionError:
            continue
        slowest = max(slowest, time.monotonic() - began)
    line = next(line for line in app.log.splitlines() if "Unpacked frontend: 1501 files" in line)
    milliseconds = int(line.split()[-2])
    assert milliseconds < max(2500, 4000 * usual), line
    assert slowest < max(0.5, 2 * usual)
