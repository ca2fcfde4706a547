"""Workspace files through the real client and, where it has no call, plain HTTP."""

import base64
import io
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
import requests
from databricks.sdk.errors import BadRequest, NotFound, ResourceAlreadyExists
from databricks.sdk.service.workspace import ImportFormat, ObjectType


@pytest.fixture
def folder(world):
    path = f"/Workspace/Shared/{world.name()}"
    world.client.workspace.mkdirs(path)
    return path


def import_file(world, path, content, **query):
    url = f"{world.running.url}/api/2.0/workspace-files/import-file/{quote(path.lstrip('/'), safe='')}"
    return requests.post(url, params=query, data=content, headers=world.headers, timeout=120)


def test_a_file_goes_up_and_comes_back(world, folder):
    content = bytes(range(256)) * 5000
    world.client.workspace.upload(f"{folder}/a b ü.bin", io.BytesIO(content), format=ImportFormat.AUTO)
    assert world.client.workspace.download(f"{folder}/a b ü.bin").read() == content
    facts = world.client.workspace.get_status(f"{folder}/a b ü.bin")
    assert (facts.object_type, facts.size) == (ObjectType.FILE, len(content))
    assert base64.b64decode(world.client.workspace.export(f"{folder}/a b ü.bin").content) == content


def test_with_and_without_workspace_is_the_same_place(world, folder):
    world.client.workspace.upload(f"{folder}/x", b"1", format=ImportFormat.RAW)
    short = folder.removeprefix("/Workspace")
    assert world.client.workspace.get_status(f"{short}/x").path == f"{short}/x"
    assert [o.path for o in world.client.workspace.list(folder)] == [f"{short}/x"]


def test_hidden_names_stay_as_they_are(world):
    path = f"/Workspace/Users/developer@example.com/.bundle/{world.name()}"
    world.client.workspace.mkdirs(path)
    assert world.client.workspace.get_status(path).path == path.removeprefix("/Workspace")


def test_import_file_streams_and_conflicts_with_409(world, folder):
    content = b"x" * 15_000_000
    assert import_file(world, f"{folder}/big.bin", content).status_code == 200
    assert world.client.workspace.get_status(f"{folder}/big.bin").size == len(content)
    again = import_file(world, f"{folder}/big.bin", b"y")
    assert (again.status_code, again.json()["error_code"]) == (409, "RESOURCE_ALREADY_EXISTS")
    assert import_file(world, f"{folder}/big.bin", b"y", overwrite="true").status_code == 200
    assert world.client.workspace.download(f"{folder}/big.bin").read() == b"y"
    assert import_file(world, f"{folder}/none/x", b"y").status_code == 404


def test_of_many_that_do_not_overwrite_one_wins(world, folder):
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda n: import_file(world, f"{folder}/lock", str(n)).status_code, range(16))
        )
    assert sorted(answers) == [200] + [409] * 15


def test_import_refuses_to_replace_unasked(world, folder):
    world.client.workspace.upload(f"{folder}/x", b"1", format=ImportFormat.AUTO)
    with pytest.raises(ResourceAlreadyExists):
        world.client.workspace.upload(f"{folder}/x", b"2", format=ImportFormat.AUTO)
    with pytest.raises(NotFound):
        world.client.workspace.upload(f"{folder}/none/x", b"2", format=ImportFormat.AUTO)


def test_source_makes_notebooks_of_python_files(world, folder):
    world.client.workspace.upload(f"{folder}/code.py", b"print()")
    assert world.client.workspace.get_status(f"{folder}/code").object_type is ObjectType.NOTEBOOK
    world.client.workspace.upload(f"{folder}/code.py", b"print()", format=ImportFormat.AUTO)
    assert world.client.workspace.get_status(f"{folder}/code.py").object_type is ObjectType.FILE
    with pytest.raises(Exception, match="language"):
        world.client.workspace.upload(f"{folder}/text.txt", b"x")


def test_json_import_is_capped_at_ten_megabytes(world, folder):
    def send(size):
        content = base64.b64encode(b"x" * size).decode()
        world.client.workspace.import_(
            f"{folder}/j", content=content, format=ImportFormat.AUTO, overwrite=True
        )

    send(10_485_760)
    with pytest.raises(BadRequest, match="exceeded max size"):
        send(10_485_761)


def test_folders(world, folder):
    world.client.workspace.mkdirs(f"{folder}/a/b")
    world.client.workspace.mkdirs(f"{folder}/a/b")
    with pytest.raises(BadRequest, match="not empty"):
        world.client.workspace.delete(f"{folder}/a")
    world.client.workspace.delete(f"{folder}/a", recursive=True)
    assert list(world.client.workspace.list(folder)) == []
    with pytest.raises(NotFound):
        world.client.workspace.get_status(f"{folder}/a")
    with pytest.raises(NotFound):
        world.client.workspace.delete(f"{folder}/a")
    world.client.workspace.upload(f"{folder}/file", b"1", format=ImportFormat.RAW)
    with pytest.raises(ResourceAlreadyExists):
        world.client.workspace.mkdirs(f"{folder}/file/below")


@pytest.mark.parametrize(
    "path", ["relative", "/Workspace/../../etc/x", "/Shared/" + "n" * 300, "/Shared/a\0b"]
)
def test_paths_that_lead_out_are_refused(world, path):
    answer = requests.post(
        f"{world.running.url}/api/2.0/workspace/mkdirs",
        json={"path": path},
        headers=world.headers,
        timeout=120,
    )
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("path", ["/", "/Workspace", "/Workspace/Shared", "/Users"])
def test_fixed_folders_stay(world, path):
    with pytest.raises(BadRequest):
        world.client.workspace.delete(path, recursive=True)


def test_an_interrupted_upload_leaves_nothing(world, folder):
    def cut():
        yield b"half"
        raise OSError("gone")

    with pytest.raises((OSError, requests.RequestException)):
        import_file(world, f"{folder}/half", cut())
    world.until(lambda: not list((world.project.local / "incoming").glob("*")))
    with pytest.raises(NotFound):
        world.client.workspace.get_status(f"{folder}/half")


def test_bodies_that_are_no_json_objects(world):
    url = f"{world.running.url}/api/2.0/workspace/mkdirs"
    for body in (b"[1]", b"{", b"\xff"):
        answer = requests.post(url, data=body, headers=world.headers, timeout=120)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "MALFORMED_REQUEST")
