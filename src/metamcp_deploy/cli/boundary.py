"""The one error boundary: what any failure looks like and which exit code it has.

0 done, 1 expected failure, 2 usage, 3 bug (traceback in a file whose path is printed), 130 interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shlex
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import typer
from typer.exceptions import TyperException

from metamcp_deploy import atomic, disk, resources
from metamcp_deploy.cli import options
from metamcp_deploy.errors import Code, DeployError

DONE, FAILED, USAGE, BUG, INTERRUPTED = 0, 1, 2, 3, 130
# What is wrong with a path of the user's machine, and no mistake of this program.
_OF_THE_MACHINE = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY),
        *(errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ETXTBSY),
    }
)


_signals: list[int] = []  # that asked this process to end


def obey_signals() -> None:
    """Ctrl-C, and SIGTERM of a pipeline that is cancelled, interrupt the command; one that is ignored stays so."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _interrupt)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    _signals.append(signum)
    signal.default_int_handler(signum, frame)


def guarded(command: Callable[[], object], argv: Sequence[str]) -> int:
    """Runs a command and returns the exit code; every failure has been shown by then."""
    _signals.clear()
    try:
        return _judged(command, argv)
    except Exception as e:
        # Libraries and programs that meet an interrupt make failures of their own of it.
        return _interrupted(argv) if _signals else _failed(e, argv)


def _failed(error: Exception, argv: Sequence[str]) -> int:
    match error:
        case DeployError():
            return _expected(error)
        case OSError():
            return _system(error)
        case MemoryError() | RuntimeError():
            return _exhausted(error, argv)
        case _:
            return _bug(argv)


def _judged(command: Callable[[], object], argv: Sequence[str]) -> int:
    try:
        result = command()
    except typer.Exit as e:
        return e.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(argv)
    except TyperException as e:
        return _usage(e, argv)
    except BrokenPipeError:
        return _unread()
    except SystemExit as e:
        # typer exits with 1 by itself when the reader has gone.
        return _unread() if isinstance(e.__context__, BrokenPipeError) else USAGE
    # typer turns a Ctrl-C, as every `Exit`, into a result.
    return _interrupted(argv) if result == INTERRUPTED else result if isinstance(result, int) else DONE


def _unread() -> int:
    """The reader of stdout has gone (`| head`): not a failure; nothing more may be flushed to it."""
    with Path(os.devnull).open("wb") as nowhere:
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                os.dup2(nowhere.fileno(), stream.fileno())
    return DONE


def _interrupted(argv: Sequence[str]) -> int:
    # A second one must not cut short the report of the first.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _told(
            DeployError(Code.INTERRUPTED, "Interrupted.", hint="Run the same command again to go on."), argv
        )
    finally:
        signal.signal(signal.SIGINT, before)
    return INTERRUPTED


def _told(error: DeployError, argv: Sequence[str]) -> None:
    run = _asked(argv)
    if run.streams:  # `logs -o json`: its end is the end of the stream
        run.output = options.Format.text
    if options.Format.json in (run.output, run.log_format):
        run.console.error(error)
    else:
        print(f"\n{error.message} {error.hint}", file=sys.stderr)  # noqa: T201


def _asked(argv: Sequence[str]) -> options.Run:
    """The run, with the forms that the words ask for where parsing did not come to an end."""
    run = options.current
    if wants_json(argv):
        run.output = options.Format.json
    if wants_json(argv, "--log-format"):
        run.log_format = options.Format.json
    return run


def _worded(error: TyperException) -> None:
    """--app has no like among the options of a command that needs the whole configuration."""
    if getattr(error, "option_name", "") == "--app":
        error.message = (
            "This command needs metamcp.yaml: run it in its folder (or with -C FOLDER), with -t TARGET. "
            "--app is for commands that look at or operate an app that runs."
        )
        vars(error)["possibilities"] = []


def _usage(error: TyperException, argv: Sequence[str]) -> int:
    run = _asked(argv)
    _worded(error)
    if options.Format.json in (run.output, run.log_format):
        run.console.error(DeployError(Code.USAGE, error.format_message(), hint="metamcp-deploy --help"))
    else:
        from metamcp_deploy.console import plain

        error.message = plain(error.message)
        # The parser's own errors show usage with themselves.
        getattr(error, "show", lambda: print(error.format_message(), file=sys.stderr))()  # noqa: T201
    return USAGE


def _expected(error: DeployError) -> int:
    if options.current.debug:
        sys.stderr.write(options.current.cleaned(traceback.format_exc()))
    if error.code is Code.NOT_DEPLOYED and _nothing_named(options.current):
        error.hint += "; an app in a workspace is named by --app NAME -p PROFILE"
    options.current.console.error(error)
    return USAGE if error.code is Code.USAGE else FAILED


def _nothing_named(run: options.Run) -> bool:
    """Whether a command that takes --app was called without it where no metamcp.yaml names anything."""
    return run.takes_app and not (run.app or run.target or (run.here / "metamcp.yaml").exists())


def _system(error: OSError) -> int:
    """A failure of the machine itself, in words: a full disk, a folder that cannot be written."""
    where = str(error.filename) if error.filename else "this machine"
    if disk.is_full(error):
        # A write that fails knows no name.
        known = (options.current.folder, resources.cache_path(), Path(tempfile.gettempdir()))
        return _expected(disk.full(error.filename or disk.fullest(*known) or where))
    if error.errno in _OF_THE_MACHINE and error.filename:
        return _expected(
            DeployError(
                Code.FILE_ACCESS,
                f"{where} cannot be used: {error.strerror}.",
                hint=f"Look at what is there, and whose it is: ls -ld {shlex.quote(where)}",
            )
        )
    return _exhausted(error, sys.argv[1:])


def _exhausted(error: Exception, argv: Sequence[str]) -> int:
    from metamcp_deploy import process

    known = process.exhausted(error)
    return _expected(known) if known else _bug(argv)


def _bug(argv: Sequence[str]) -> int:
    from metamcp_deploy import __version__

    text = options.current.cleaned(traceback.format_exc())
    words = options.current.cleaned(shlex.join(argv))
    head = f"metamcp-deploy {__version__}, Python {sys.version.split()[0]}\n$ metamcp-deploy {words}\n\n"
    path = _reported(head + text)
    if options.current.debug or path is None:
        sys.stderr.write(text)
    _bug_shown(path, text.strip().splitlines()[-1])
    return BUG


def _reported(text: str) -> Path | None:
    """Where a bug's report was written: the cache, else the system's folder for temporary files; None if nowhere."""
    name = f"bug-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    with contextlib.suppress(OSError, DeployError):
        path = resources.cache_folder() / "logs" / name
        atomic.write(path, text, 0o600)
        return path
    with contextlib.suppress(OSError):
        path = Path(tempfile.gettempdir(), name)
        atomic.write(path, text, 0o600)
        return path
    return None


def _bug_shown(path: Path | None, last: str) -> None:
    report = f"the file {path} (read it first: it holds your command line)" if path else "the lines above"
    options.current.console.error(
        DeployError(Code.BUG, f"This is a bug in metamcp-deploy: {last}", hint=f"Report it with {report}.")
    )


def wants_json(argv: Sequence[str], option: str = "--output") -> bool:
    """Whether the words ask for JSON, where parsing them failed."""
    names = ("-o", option) if option == "--output" else (option,)
    return any(
        (a in names and b == "json") or a in [f"{n}=json" for n in names] or (a == "-ojson" and "-o" in names)
        for a, b in itertools.pairwise([*argv, ""])
    )
