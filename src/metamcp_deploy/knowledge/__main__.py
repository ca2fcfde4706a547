"""The pages for people, on standard output: `python -m metamcp_deploy.knowledge [runbook]`.

> docs/diagnoses.md without a word, > docs/runbook.md with `runbook`.
"""

import sys

from metamcp_deploy.knowledge import page, runbook

sys.stdout.write(runbook.markdown() if sys.argv[1:] == ["runbook"] else page.markdown())
