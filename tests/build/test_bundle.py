"""The bundle of the real sample: what it holds, that it runs, and when it is made again."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from metamcp_deploy import events, pipeline, process
from metamcp_deploy.config.model import App
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import archive
from metamcp_deploy.release.build import node
from metamcp_deploy.release.build.cache import Cache, digests
from metamcp_deploy.stages import build

Write = Callable[[Path, dict[str, str | bytes]], Path]
PARTS = ("backend", "frontend", "migrations")


def run(project: Project, **wishes: bool) -> pipeline.Outcome:
    force = "--clean" if wishes.get("clean") else None
    return pipeline.execute(build.step(project, build.Wishes(**wishes)), project.state, force=force)


def release(project: Project) -> dict[str, Any]:
    return json.loads((project.bundle / "app/release.json").read_text())  # type: ignore[no-any-return]


def unpacked(project: Project, to: Path) -> Path:
    for part in PARTS:
        with tarfile.open(project.bundle / f"app/{part}.tar.gz") as tar:
            tar.extractall(to / part, filter="data")
    return to


def test_few_files_and_none_that_makes_the_platform_install(built_sample: Project) -> None:
    app = built_sample.bundle / "app"
    names = {p.name for p in app.iterdir()}
    about = {"release.json", "files.json", "sbom.cdx.json"}
    assert names == {"app.yaml", "start.mjs", *about, *(f"{p}.tar.gz" for p in PARTS)}
    assert all(p.stat().st_size <= archive.LIMIT for p in app.iterdir())
    facts = pipeline.facts(built_sample.state, "build", "test")
    assert facts["files"] == len(names)
    assert facts["bytes"] == sum(p.stat().st_size for p in app.iterdir())
    assert facts["package_manager"] == "pnpm@9.0.0"


def test_release_json_describes_the_parts(built_sample: Project) -> None:
    found = release(built_sample)
    prepared = pipeline.facts(built_sample.state, "prepare", "test")
    assert found["upstream"] == {"url": None, **{k: prepared[k] for k in ("ref", "commit")}}
    assert found["id"] == pipeline.facts(built_sample.state, "build", "test")["release"]
    assert (found["format"], found["schema"]) == (2, "metamcp_app")
    assert {"prefix": "/metamcp", "to": "/metamcp", "exact": False} in found["routes"]
    for name in PARTS:
        part = found["parts"][name]
        content = (built_sample.bundle / "app" / part["file"]).read_bytes()
        assert part["sha256"] == hashlib.sha256(content).hexdigest()
        assert part["bytes"] == len(content)
        with tarfile.open(built_sample.bundle / "app" / part["file"]) as tar:
            assert part["entry"] in tar.getnames()


def test_the_id_can_be_computed_from_what_is_shipped(built_sample: Project, tmp_path: Path) -> None:
    folder = unpacked(built_sample, tmp_path)
    for own in ("app.yaml", "start.mjs"):
        (folder / own).write_bytes((built_sample.bundle / "app" / own).read_bytes())
    files = [p for p in folder.rglob("*") if p.is_file()]
    about = release(built_sample)
    obeyed = {key: about[key] for key in ("format", "schema", "source_maps", "routes")}
    obeyed["upstream"] = {"commit": about["upstream"]["commit"]}
    obeyed["parts"] = {
        name: {key: value for key, value in part.items() if key not in ("sha256", "bytes")}
        for name, part in about["parts"].items()
    }
    text = json.dumps(obeyed, sort_keys=True, separators=(",", ":"))
    lines = sorted(
        [
            *(
                "\0".join(
                    (p.relative_to(folder).as_posix(), "644", hashlib.sha256(p.read_bytes()).hexdigest())
                )
                + "\n"
                for p in files
            ),
            f"release.json\0-\0{hashlib.sha256(text.encode()).hexdigest()}\n",
        ]
    )
    assert hashlib.sha256("".join(lines).encode()).hexdigest()[:16] == release(built_sample)["id"]


def test_parts_hold_what_the_launcher_starts_and_nothing_of_this_machine(
    built_sample: Project, tmp_path: Path
) -> None:
    folder = unpacked(built_sample, tmp_path)
    backend = {p.name for p in (folder / "backend").iterdir()}
    migrations = {
        p.relative_to(folder / "migrations").as_posix() for p in (folder / "migrations").rglob("*.*")
    }
    assert backend == {"index.mjs", "preload.mjs"}
    assert {"migrate.mjs", "drizzle/meta/_journal.json"} <= migrations
    assert not [m for m in migrations if "snapshot" in m]
    here = str(built_sample.folder).encode()
    tainted = [p for p in folder.rglob("*") if p.is_file() and here in p.read_bytes()]
    assert not tainted
    for program in ("backend/index.mjs", "backend/preload.mjs", "migrations/migrate.mjs"):
        process.run([node.find().program, "--check", folder / program])
    launcher = built_sample.bundle / "app/start.mjs"
    process.run([node.find().program, "--check", launcher])
    assert "CAN_CONNECT_AND_CREATE" in launcher.read_text(), "what knowledge/launcher says of failures"


def test_the_server_starts_from_the_files_alone_and_serves_pages_and_assets(
    built_sample: Project, tmp_path: Path
) -> None:
    folder = unpacked(built_sample, tmp_path) / "frontend"
    # Next listens on a port of its own choice and tells it; `fetch` asks for the page and one of its assets.
    script = """
    import { createServer } from "node:net";
    const free = () => new Promise((done) => {
      const s = createServer().listen(0, "127.0.0.1", () => s.close(() => done(s.port), (s.port = s.address().port)));
    });
    process.env.PORT = String(await free());
    process.env.HOSTNAME = "127.0.0.1";
    await import(process.argv[1]);
    const ask = async (path) => {
      for (let i = 0; ; i++) {
        try { return await fetch(`http://127.0.0.1:${process.env.PORT}${path}`, { redirect: "manual" }); }
        catch (error) { if (i > 200) throw error; await new Promise((r) => setTimeout(r, 50)); }
      }
    };
    const page = await ask("/en/login");
    const asset = (await page.text()).match(/\\/_next\\/static\\/[^"\\\\ ]+\\.js/)[0];
    console.log("RESULT", page.status, (await ask(asset)).status, (await ask("/_next/static/none.js")).status);
    process.exit(0);
    """
    server = folder / "apps/frontend/server.js"
    env = process.base_environment(APP_URL="http://127.0.0.1", NODE_ENV="production")
    program = node.find().program
    done = process.run(
        [program, "--input-type=module", "-e", script, server], cwd=folder, env=env, timeout=120, check=False
    )
    assert "RESULT 200 200 404" in done.stdout, done.stdout + done.stderr


def test_nothing_changed_nothing_done(workshop: Project, emitted: list[events.Event]) -> None:
    assert run(workshop).ran is False
    assert [type(e) for e in emitted] == [events.StageSkipped]


def test_a_changed_setting_renders_again_and_leaves_the_release(
    workshop: Project, emitted: list[events.Event]
) -> None:
    before = release(workshop)
    archives = {p: (workshop.bundle / f"app/{p}.tar.gz").read_bytes() for p in PARTS}
    settings = workshop.settings.model_copy(update={"app": App(name="metamcp-other")})
    outcome = run(replace(workshop, settings=settings, all_targets=(settings,)))
    assert outcome.reason == "databricks.yml changed"
    assert outcome.facts["seconds"] == {}
    assert release(workshop) == before
    assert {p: (workshop.bundle / f"app/{p}.tar.gz").read_bytes() for p in PARTS} == archives
    document = yaml.safe_load((workshop.bundle / "databricks.yml").read_text())
    assert document["targets"]["dev"]["resources"]["apps"]["metamcp"]["name"] == "metamcp-other"
    assert not [e for e in emitted if isinstance(e, events.Output)]


def test_a_change_of_the_backend_alone_builds_no_front_end(
    workshop: Project, write: Write, emitted: list[events.Event]
) -> None:
    before = release(workshop)
    source = workshop.patched / "apps/backend/src/index.ts"
    write(source.parent, {source.name: source.read_text() + "\nconsole.log('one more line');\n"})
    assert run(workshop).reason == "patched tree changed"
    doing = [e.text for e in emitted if isinstance(e, events.Progress)]
    assert [text for text in doing if not text.startswith("Verifying")] == ["Packing the release"]
    after = release(workshop)
    assert after["id"] != before["id"]
    assert after["parts"]["backend"]["sha256"] != before["parts"]["backend"]["sha256"]
    assert after["parts"]["migrations"] == before["parts"]["migrations"]


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda b: (b / "app/backend.tar.gz").unlink(), "app/backend.tar.gz is missing in bundle"),
        (lambda b: (b / "app/extra").write_text(""), "app/extra in bundle is not from the build"),
        (lambda b: _swap(b / "app/start.mjs", "edited"), "app/start.mjs in bundle was changed by hand"),
        (lambda b: _swap(b / "databricks.yml", "edited"), "databricks.yml in bundle was changed by hand"),
    ],
)
def test_a_bundle_touched_by_hand_is_made_again(
    workshop: Project, harm: Callable[[Path], None], reason: str
) -> None:
    before = digests(workshop.bundle)
    harm(workshop.bundle)
    assert pipeline.why(build.step(workshop), workshop.state) == reason
    run(workshop)
    assert digests(workshop.bundle) == before


def _swap(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def test_an_edited_archive_never_passes_for_the_release_when_a_setting_changes(workshop: Project) -> None:
    before = release(workshop)
    _swap(workshop.bundle / "app/backend.tar.gz", "edited")
    settings = workshop.settings.model_copy(update={"app": App(name="metamcp-other")})
    run(replace(workshop, settings=settings, all_targets=(settings,)))
    assert release(workshop) == before
    content = (workshop.bundle / "app/backend.tar.gz").read_bytes()
    assert hashlib.sha256(content).hexdigest() == before["parts"]["backend"]["sha256"]


def test_native_code_fails_the_build_and_the_former_bundle_stays(
    workshop: Project, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cache, "of", lambda _: Cache(None))  # it holds the good release
    before = digests(workshop.bundle)
    write(workshop.build / "work/tree/apps/frontend/public", {"tool": b"\x7fELF\x02"})
    layers = workshop.build / "work/layers.json"
    known = json.loads(layers.read_text())
    write(layers.parent, {layers.name: json.dumps({**known, "packed": None})})
    with pytest.raises(DeployError) as e:
        pipeline.execute(build.step(workshop), workshop.state, force="test")
    assert e.value.code is Code.BUNDLE_INVALID
    assert "apps/frontend/public/tool" in e.value.message
    assert digests(workshop.bundle) == before


@pytest.mark.parametrize("moved_aside", [True, False])
def test_what_a_killed_build_left_is_put_right(workshop: Project, write: Write, moved_aside: bool) -> None:
    before = digests(workshop.bundle)
    write(workshop.build / ".bundle.new", {"app/half": ""})
    if moved_aside:
        workshop.bundle.rename(workshop.build / ".bundle.former")
    else:
        write(workshop.build / ".bundle.former", {"old": ""})
    (workshop.state / "build.json").unlink()
    assert run(workshop).facts["seconds"] == {}
    assert digests(workshop.bundle) == before
    assert not list(workshop.build.glob(".bundle*"))
