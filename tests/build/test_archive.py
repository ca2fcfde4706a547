import io
import tarfile
from pathlib import Path

import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import archive, identity
from metamcp_deploy.release.archive import Entry

LONG = "/".join(["a" * 90] * 4) + "/f.js"
ENTRIES = [Entry("b.js", b"2"), Entry("a/é[x] (y).js", b"1"), Entry(LONG, b"3" * 5000), Entry("empty", b"")]


def test_same_entries_same_bytes_in_any_order() -> None:
    assert archive.pack(ENTRIES) == archive.pack(reversed(ENTRIES))


def test_says_nothing_of_time_and_user_and_reads_back() -> None:
    packed = archive.pack(ENTRIES)
    assert packed[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = tar.getmembers()
        found = {m.name: tar.extractfile(m).read() for m in members}  # type: ignore[union-attr]
    assert found == {e.path: e.content for e in ENTRIES}
    assert [m.name for m in members] == sorted(found)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}


PE = b"MZ" + b"\0" * 58 + b"\x40\0\0\0" + b"PE\0\0"


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        ("lib/tool", b"\x7fELF\x02\x01", "ELF"),
        ("lib/x.dylib", b"\xcf\xfa\xed\xfe\x07", "Mach-O"),
        ("lib/y", b"\xca\xfe\xba\xbe\0\0\0\2", "Mach-O universal"),
        ("lib/z.js", PE, "PE"),
        ("lib/w.node", b"anything", "Node add-on"),
    ],
)
def test_native_code_is_refused_by_name(path: str, content: bytes, kind: str) -> None:
    with pytest.raises(DeployError) as e:
        archive.check("frontend", [Entry("fine.js", b""), Entry(path, content)])
    assert e.value.code is Code.BUNDLE_INVALID
    assert path in e.value.message
    assert kind in e.value.message


@pytest.mark.parametrize(
    "content", [b"", b"MZ", b"MZ is how this text begins" * 9, b"\x7fEL", b"\0asm\1\0\0\0"]
)
def test_text_and_data_are_not(content: bytes) -> None:
    archive.check("frontend", [Entry("x", content)])


@pytest.mark.parametrize("path", ["/etc/x", "a/../../x", "..", "a//b", "./a", "a\\b"])
def test_paths_that_could_leave_the_folder_are_refused(path: str) -> None:
    with pytest.raises(DeployError, match="plain relative path"):
        archive.check("backend", [Entry(path, b"")])


def test_doubles_are_refused() -> None:
    with pytest.raises(DeployError, match="twice"):
        archive.check("backend", [Entry("a", b"1"), Entry("a", b"2")])


def test_too_big_a_file_is_named_with_what_makes_it_so(tmp_path: Path) -> None:
    path = tmp_path / "frontend.tar.gz"
    path.write_bytes(b"x" * archive.LIMIT)
    archive.check_size(path, [])
    path.write_bytes(b"x" * (archive.LIMIT + 1))
    with pytest.raises(DeployError) as e:
        archive.check_size(path, [Entry("small", b"1"), Entry("big.js", b"1" * 99)])
    assert e.value.code is Code.BUNDLE_INVALID
    assert "frontend.tar.gz" in e.value.message
    assert (e.value.detail or "").splitlines()[0].endswith("big.js")


def test_the_id_names_content_paths_modes_and_parts() -> None:
    base = {"backend": [Entry("a", b"1"), Entry("b", b"2")], "": [Entry("start.mjs", b"3")]}
    same = {"": [Entry("start.mjs", b"3")], "backend": [Entry("b", b"2"), Entry("a", b"1")]}
    others = [
        {"backend": [Entry("a", b"1"), Entry("b", b"x")], "": base[""]},
        {"backend": [Entry("a", b"1"), Entry("c", b"2")], "": base[""]},
        {"backend": [Entry("a", b"1"), Entry("b", b"2", 0o755)], "": base[""]},
        {"frontend": base["backend"], "": base[""]},
        {"backend": base["backend"]},
    ]
    about = {"format": 1}
    ids = [identity.of(p, about) for p in (base, *others)]
    assert identity.of(same, about) == ids[0]
    assert len(set(ids)) == len(ids)
    assert all(len(i) == 16 and int(i, 16) >= 0 for i in ids)
