"""Known failures: how each shows, its cause and what ends it. One file each, `<where>/<id>.yaml`, data only.

    title: one line: what is wrong
    rank: 50                          # of those that fit, the lowest counts; an API's error code before a status alone
    level: error                      # or warning, or note for what is harmless
    error: disk_full                  # the code of `errors.Code`, where the tool reports it as an error of its own
    message: what that error says; {url} and the like are filled in by who reports it
    shows:                            # one sign is enough; all conditions of a sign must fit
      - log: a regular expression     # over lines of an app's log; `body` of an HTTP answer, `output` of a program
        http: [502, 503]              # also exit_code, sqlstate, error_code (an API's), code (the launcher's or ours),
                                      # step (the launcher's), state (health's or an app's status, a need of preflight)
    cause: why
    fix:
      - do: a sentence
        run: metamcp-deploy logs {on_app}  # to paste; {on_target} where the command needs metamcp.yaml
        ask: who can do it
        safe: true                    # only reads: may be done without asking
        repair: true                  # `doctor --fix` runs it after asking: it drops, revokes and overwrites nothing
    by_itself: what is tried without anybody
    need: {step, needs, detected}     # of `preflight`
    sources: [where the facts are from]
    samples: [recorded evidence, with the keys of `shows`]
    provoke: {fault: a name of `local faults list`} or {act: what to do in the embedded workspace}

The id is the file's name, unique among all folders: what people search for. Nothing is read before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metamcp_deploy.knowledge.entry import Entry


def recognise(where: str, **seen: Any) -> Entry | None:
    """The failure that the evidence shows (the keys of `shows`), of the folder `where`; None when it is unknown."""
    from metamcp_deploy.knowledge import loading
    from metamcp_deploy.knowledge.entry import Evidence

    fitting = loading.fitting(where, Evidence(**seen))
    return fitting[0] if fitting else None


def by_id(where: str, id_: str) -> Entry:
    """The failure of that id, for those who know which it is."""
    from metamcp_deploy.knowledge import loading

    return next(known for known in loading.folder(where) if known.id == id_)


def find(id_: str) -> Entry | None:
    """The failure of that id, of whichever folder."""
    from metamcp_deploy.knowledge import loading

    return next(
        (known for where in loading.folders() for known in loading.folder(where) if known.id == id_), None
    )


def ids() -> list[str]:
    """Of all failures."""
    from metamcp_deploy.knowledge import loading

    return [known.id for where in loading.folders() for known in loading.folder(where)]


def for_launcher() -> list[dict[str, Any]]:
    """The launcher's part as JSON, in order: `id`, `cause`, `fix`, and `signs`, each with `code`s or a `log` pattern.

    A release is the same for every target: `{app}` in a fix stands for the app's name, which the launcher knows.
    """
    from metamcp_deploy.knowledge import loading
    from metamcp_deploy.knowledge.place import Place

    place = Place(app="{app}")
    return [
        {
            "id": known.id,
            "cause": known.cause,
            "fix": " ".join(filter(None, (known.by_itself, known.hint(place=place)))),
            "signs": [
                sign.model_dump(include={"code", "log"}, exclude_defaults=True) for sign in known.shows
            ],
        }
        for known in loading.folder("launcher")
    ]
