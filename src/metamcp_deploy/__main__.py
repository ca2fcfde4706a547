"""Entry point of `metamcp-deploy` and `python -m metamcp_deploy`. Handles Ctrl-C while the command line loads."""

import os
import sys


def main() -> None:
    """Runs the command line and exits."""
    try:
        from metamcp_deploy import cli
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        sys.stderr.flush()
        os._exit(130)  # at the end of an interrupted import, CPython would end itself by SIGINT
    cli.main()


if __name__ == "__main__":
    main()
