"""The one error boundary: what any failure looks like and which exit code it has.

0 done, 1 expected failure, 2 usage, 3 bug (traceback in a file whose path is printed), 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import typer
from typer.exceptions import TyperException

from metamcp_deploy.cli import options
from metamcp_deploy.errors import Code, DeployError

DONE, FAILED, USAGE, BUG, INTERRUPTED = 0, 1, 2, 3, 130


def guarded(command: Callable[[], object], argv: Sequence[str]) -> int:
    """Runs a command and returns the exit code; every failure has been shown by then."""
    try:
        result = command()
    except typer.Exit as e:
        # typer turns a Ctrl-C into this exit code itself.
        return _interrupted() if e.exit_code == INTERRUPTED else e.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except TyperException as e:
        return _usage(e, argv)
    except DeployError as e:
        return _expected(e)
    except BrokenPipeError:
        # The reader of stdout has gone (`| head`): not a failure; nothing more may be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as e:
        return _system(e)
    except Exception:
        return _bug(argv)
    return result if isinstance(result, int) else DONE


def _interrupted() -> int:
    print("\nInterrupted. Run the same command again to go on.", file=sys.stderr)  # noqa: T201
    return INTERRUPTED


def _usage(error: TyperException, argv: Sequence[str]) -> int:
    if wants_json(argv):
        options.current.output = options.Format.json
        options.current.console.error(
            DeployError(Code.USAGE, error.format_message(), hint="metamcp-deploy --help")
        )
    else:
        # The parser's own errors show usage with themselves.
        getattr(error, "show", lambda: print(error.format_message(), file=sys.stderr))()  # noqa: T201
    return USAGE


def _expected(error: DeployError) -> int:
    if options.current.debug:
        traceback.print_exc()
    options.current.console.error(error)
    return FAILED


def _system(error: OSError) -> int:
    """A failure of the machine itself, in words: a full disk, a folder that cannot be written."""
    where = str(error.filename) if error.filename else "this machine"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _expected(
            DeployError(
                Code.DISK_FULL, f"No space left for {where}.", hint="Free some disk space and run it again."
            )
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return _expected(
            DeployError(
                Code.FILE_ACCESS,
                f"{where} cannot be accessed: {error.strerror}.",
                hint=f"Check who owns it: ls -ld {where}",
            )
        )
    return _bug(sys.argv[1:])


def _bug(argv: Sequence[str]) -> int:
    from metamcp_deploy import __version__, resources

    text = traceback.format_exc()
    words = " ".join(argv)
    path = resources.cache_folder() / "logs" / f"bug-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"metamcp-deploy {__version__}, Python {sys.version.split()[0]}\n$ metamcp-deploy {words}\n\n{text}"
    )
    if options.current.debug:
        sys.stderr.write(text)
    _bug_shown(path, text.strip().splitlines()[-1])
    return BUG


def _bug_shown(path: Path, last: str) -> None:
    options.current.console.error(
        DeployError(
            Code.BUG,
            f"This is a bug in metamcp-deploy: {last}",
            hint=f"Report it with the file {path} (read it first: it holds your command line).",
        )
    )


def wants_json(argv: Sequence[str]) -> bool:
    """Whether the words ask for JSON, where parsing them failed."""
    pairs = zip(argv, [*argv[1:], ""], strict=True)
    return any(
        (a in ("-o", "--output") and b == "json") or a in ("-ojson", "--output=json", "-o=json")
        for a, b in pairs
    )
