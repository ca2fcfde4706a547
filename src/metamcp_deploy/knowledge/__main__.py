"""`python -m metamcp_deploy.knowledge > docs/diagnoses.md`: the page for people, on standard output."""

import sys

from metamcp_deploy.knowledge.page import markdown

sys.stdout.write(markdown())
