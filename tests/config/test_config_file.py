"""What is wrong with a metamcp.yaml: file, line, dotted path, what was found and what is expected."""

from pathlib import Path

import pytest

from metamcp_deploy import __version__, config
from metamcp_deploy.config import hosts
from metamcp_deploy.errors import Code, DeployError
from tests.config.working import Work


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("app: {nme: x}", "metamcp.yaml:1: `app.nme`: there is no such key. Did you mean `name`?"),
        ("ap:\n  name: x", "metamcp.yaml:1: `ap`: there is no such key. Did you mean `app`?"),
        (
            "app:\n  name: Metamcp",
            "metamcp.yaml:2: `app.name`: found `Metamcp`, expected an app name: 2 to 30 of",
        ),
        ("app:\n  name:\n", "metamcp.yaml:2: `app.name`: found nothing, expected an app name"),
        ("app: [x]", "metamcp.yaml:1: `app`: found a list, expected a section with keys of its own."),
        ("app: {compute_size: HUGE}", "`app.compute_size`: found `HUGE`, expected MEDIUM, LARGE or XLARGE."),
        ("app: {permissions: all}", "`app.permissions`: found `all`, expected a list."),
        ("app: {permissions: [{group_name: users}]}", "`app.permissions.0`: `level` is missing."),
        (
            "app:\n  permissions:\n    - level: CAN_USE\n    - {level: CAN_USE, user_name: a, group_name: b}\n",
            "metamcp.yaml:3: `app.permissions.0`: found none, expected exactly one of user_name, group_name, "
            "service_principal_name.",
        ),
        ("app: {env: {A: [1]}}", "`app.env.A`: found a list, expected a text on one line, or {secret: KEY}."),
        ("app: {env: {A: {secrt: K}}}", "`app.env.A`: found a mapping, expected a text on one line"),
        ('app: {env: {A: "x\\ny"}}', "`app.env.A`: found a line break in it, expected a text on one line"),
        ("app: {env: {9A: x}}", "`app.env.9A`: found the name `9A`, expected a variable name"),
        ("app: {env: {APP_URL: x}}", "`app.env.APP_URL`: may not be set: it is the app's own address"),
        (
            "app:\n  env:\n    DATABRICKS_X: x",
            "metamcp.yaml:3: `app.env.DATABRICKS_X`: may not be set: the platform",
        ),
        (
            "app: {env: {PGHOST: x}}",
            "`app.env.PGHOST`: may not be set: the database resource sets the PG names.",
        ),
        (
            "app: {env: {A: {secret: K_1}, B: {secret: k-1}}}",
            "the secrets `K_1` and `k-1` differ too little.",
        ),
        ("database: {schema: public}", "`database.schema`: the app's role may create nothing in `public`"),
        ("database: {schema: pg_x}", "`database.schema`: `pg_x` is reserved by PostgreSQL"),
        (
            "database: {schema: My Schema}",
            "`database.schema`: found `My Schema`, expected a PostgreSQL identifier",
        ),
        ("database: {schema_: x}", "`database.schema_`: there is no such key. Did you mean `schema`?"),
        (
            "database: {kind: elastic}",
            "`database.kind`: found `elastic`, expected autoscaling, provisioned or external.",
        ),
        ("upstream: {commit: 32b6e98}", "`upstream.commit`: found `32b6e98`, expected a full commit"),
        (
            f"upstream: {{ref: {'a' * 40}, commit: {'b' * 40}}}\ntargets: {{dev: }}",
            f"`upstream.commit`: is another commit than `ref`, {'a' * 40}.",
        ),
        ("version: 2", "`version`: found `2`, expected 1, the only version there is."),
        ("requires: later", "`requires`: found `later`, expected a range such as >=0.1,<0.2."),
        (
            "default_target: prod\ntargets: {prd: }",
            "`default_target`: there is no target `prod`. Did you mean `prd`?",
        ),
        ("targets: {a/b: }", "`targets.a/b`: found the name `a/b`, expected a target name"),
        ("targets: {dev: {embedded: yes}}", "`targets.dev.embedded`: found `yes`, expected true or false."),
        ("targets: {dev: {protected: on}}", "`targets.dev.protected`: found `on`, expected true or false."),
        ("targets: [dev]", "`targets`: found a list, expected a section"),
        (
            "targets:\n  dev:\n    upstream: {ref: main}",
            "metamcp.yaml:3: `targets.dev.upstream`: a target may not override `upstream`: one release serves every "
            "target. Move it to the top of the file.",
        ),
        ("targets: {dev: {database: {schema: x}}}", "a target may not override `database.schema`"),
        ("targets: {dev: {build: {source_maps: true}}}", "a target may not override `build`"),
        ("targets: {dev: {patches: p}}", "a target may not override `patches`"),
        ("targets: {dev: {version: 1}}", "`targets.dev.version`: there is no such key."),
        ("overrides: none/", "`overrides`: there is no folder"),
        ('overrides: "a\\0b"', "`overrides`: holds the character U+0000"),
        ("overrides: ~nobody-of-this-name/x", "expected a path (there is no such user)."),
        (f"overrides: {'x' * 5000}", "expected a path (File name too long)."),
        ("patches: .", "holds what stages make; name a folder of its own."),
        (
            "workspace: {root_path: /Users/me}",
            "`workspace.root_path`: found `/Users/me`, expected a path below",
        ),
        (
            "workspace: {root_path: /Workspace/a/../b}",
            "`workspace.root_path`: holds an empty, `.` or `..` part",
        ),
        (
            "workspace: {host: 'https://me:pw@x.example.com'}",
            "`workspace.host`: has a user or password in it",
        ),
        ("a: 1\n'a': 2", "metamcp.yaml:2: `a`: is given twice, first on line 1."),
        ("? [a]\n: b", "a key must be a plain word."),
        ("app: !env {name: x1}", "metamcp.yaml:1: `app`: the tag !env has no meaning here."),
        ("- app", "metamcp.yaml:1: found a list at the top, expected keys such as `app:` and `targets:`."),
        ("just words", "metamcp.yaml:1: found a text (`just words`) at the top"),
        ("app: {", "metamcp.yaml:1: is not YAML"),
        ("app:\n\tname: x", "metamcp.yaml:2: is not YAML: while scanning"),
        ("app: *nowhere", "metamcp.yaml:1: is not YAML: found undefined alias"),
        ("a: 1\n---\nb: 2", "is not YAML: expected a single document"),
        ("app:\n  name: a\x07", "metamcp.yaml:2: holds a character that YAML does not allow: U+0007."),
        ("app: {<<: x}", "`<<` needs an alias of a mapping."),
        ("a: &a [*a]", "is nested deeper than 40 levels, or holds itself."),
        ("x: " + "[" * 3000, "is nested deeper than 40 levels."),
    ],
)
def test_problem(work: Work, text: str, said: str) -> None:
    assert any(said in p for p in work.problems(text)), work.problems(text)


def test_all_problems_of_a_file_are_told_at_once_in_its_order(work: Work) -> None:
    found = work.problems(
        "app:\n  nme: x\n  compute_size: HUGE\nupstream: {commit: x}\n"
        "targets:\n  dev: {app: {name: X}}\n  prod: {ap: 1}\n"
    )
    assert [p.split(":")[1] for p in found] == ["2", "3", "4", "6", "7"]
    error = work.refused()
    assert error.code is Code.CONFIG_INVALID
    assert error.message.startswith("The configuration has 5 problems. The first: ")
    assert str(error.detail).count("\n") == 4
    assert "config check" in error.hint


def test_the_path_in_an_error_is_whole(work: Work) -> None:
    work.yaml("app: x")
    assert work.refused().message.startswith(f"{work.folder}/metamcp.yaml:1: `app`")


def test_scalars_are_taken_as_written(work: Work) -> None:
    work.yaml(
        "upstream: {ref: 2.10, commit: 1234567890123456789012345678901234567890}\n"
        "app:\n  env: {on: off, PORT_RANGE: 8_080, DEBUG: true, RATIO: 1e3, WHEN: 2026-01-02, EMPTY: '', no: NO}\n"
    )
    s = work.load().settings
    assert s.upstream.ref == "2.10"
    assert s.upstream.commit == "1234567890" * 4
    assert s.app.env == {
        "on": "off",
        "PORT_RANGE": "8_080",
        "DEBUG": "true",
        "RATIO": "1e3",
        "WHEN": "2026-01-02",
        "EMPTY": "",
        "no": "NO",
    }


def test_anchors_and_merge_keys(work: Work) -> None:
    work.yaml(
        "app: &app {env: {A: top}}\n"
        "targets:\n"
        "  dev: &dev\n    app: {name: dev-app}\n"
        "    workspace: &w {host: https://a.example.com, root_path: /Workspace/a}\n"
        "  test:\n    <<: *dev\n    app: {name: test-app, env: {A: own, B: more}}\n"
        "    workspace: {<<: *w, root_path: /Workspace/b}\n    database: {project: test}\n"
    )
    s = work.load("test").settings
    assert (s.app.name, s.app.env) == ("test-app", {"A": "own", "B": "more"})
    assert (s.workspace.host, s.workspace.root_path) == ("https://a.example.com", "/Workspace/b")
    assert getattr(s.database, "project", None) == "test"


def test_an_alias_bomb_is_refused_fast(work: Work) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert "stands for more than 20000 values once aliases are followed" in work.problems("\n".join(lines))[0]


def test_sections_may_be_empty(work: Work) -> None:
    work.yaml("app: {name: top, env: {A: x}}\nnetwork:\ntargets:\n  dev:\n    app:\n    workspace:\n")
    app = work.load("dev").settings.app
    assert (app.name, app.env) == ("top", {"A": "x"})
    work.yaml(
        "app: {env: {A: x}, permissions: [{level: CAN_USE, group_name: users}]}\n"
        "targets: {dev: {app: {env: , permissions: }}}\n"
    )
    app = work.load("dev").settings.app
    assert (app.env, len(app.permissions)) == ({"A": "x"}, 1)
    work.yaml("app:\n  env:\n  permissions:\n")
    assert work.load().settings.app.permissions == ()


def test_a_target_inherits_what_it_leaves_out(work: Work) -> None:
    work.yaml(
        "app: {name: top, compute_size: LARGE, env: {A: top, B: top}}\n"
        "targets: {dev: {app: {name: dev, env: {B: dev}}}}"
    )
    app = work.load("dev").settings.app
    assert (app.name, app.compute_size, app.env) == ("dev", "LARGE", {"A": "top", "B": "dev"})


@pytest.mark.parametrize("data", [b"", b"# nothing\n", b"\xef\xbb\xbfversion: 1\n", b"---\n"])
def test_files_that_say_nothing_are_fine(work: Work, data: bytes) -> None:
    (work.folder / "metamcp.yaml").write_bytes(data)
    assert work.load().settings.app.name == "metamcp"


def test_files_that_cannot_be_read(work: Work) -> None:
    path = work.folder / "metamcp.yaml"
    path.write_bytes(b"app:\n  name: caf\xe9\n")
    assert "metamcp.yaml:2: is not UTF-8 (byte 0xe9)" in work.refused().message
    path.write_bytes("version: 1\n".encode("utf-16"))
    assert "is not UTF-8" in work.refused().message
    path.write_bytes(b"#" * (1 << 20) + b"##")
    assert "larger than 1 MiB" in work.refused().message
    path.unlink()
    path.mkdir()
    with pytest.raises(DeployError, match="cannot be read") as caught:
        work.load()
    assert caught.value.code is Code.FILE_ACCESS


def test_a_name_that_is_not_read_is_told(work: Work) -> None:
    (work.folder / "metamcp.yml").write_text("version: 1\n")
    error = work.refused()
    assert "the file is called metamcp.yaml" in error.message
    assert error.hint.startswith("Rename it: mv ")


def test_requires_comes_before_keys_that_only_another_version_knows(work: Work) -> None:
    work.yaml("requires: '>=99'\nfrom_the_future: 1\n")
    error = work.refused()
    assert error.code is Code.TOOL_VERSION
    assert f"needs metamcp-deploy >=99, this is {__version__}" in error.message
    work.yaml(f"requires: '=={__version__}'\n")
    assert work.load().settings.target == "local"


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("https://dbc-1.example.com/?o=123", "https://dbc-1.example.com"),
        ("https://DBC-1.example.com:443/browse/x#y", "https://dbc-1.example.com"),
        ("dbc-1.example.com/", "https://dbc-1.example.com"),
        ("https://dbc-1.example.com:8443", "https://dbc-1.example.com:8443"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://localhost:1", "http://localhost:1"),
        ("http://[::1]:2/x", "http://[::1]:2"),
    ],
)
def test_a_host_has_one_form(given: str, made: str) -> None:
    assert hosts.origin(given) == made
    assert hosts.origin(made) == made


@pytest.mark.parametrize(
    "given",
    [
        "http://dbc-1.example.com",
        "http://localhost.example.com",
        "https://user:marked-secret@dbc-1.example.com",
        "https://dbc-1.example.com\n.evil.example.com",
        "https://",
        "https://a b.example.com",
        "https://dbc-1.example.com:99999",
        "ftp://dbc-1.example.com",
        "https://-x.example.com",
    ],
)
def test_a_host_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        hosts.origin(given)
    assert "marked-secret" not in str(caught.value)


def test_names_for_completion_never_fail(work: Work, tmp_path: Path) -> None:
    assert config.target_names(work.yaml("targets: {b: , a: }").folder) == ["b", "a", "local"]
    assert config.target_names(work.yaml("targets: {").folder) == ["local", "default"]
    assert config.target_names(work.yaml("targets: {local: {x: 1}}").folder) == ["local"]
    assert config.target_names(tmp_path / "nowhere") == ["local", "default"]
