"""Trials that take minutes, each through the command line against an embedded workspace; not in the CI run.

python -m tests.faults.trials                     their names
python -m tests.faults.trials migrations lock     those, in a folder of their own below TMPDIR

A trial does something real to a process, a disk or a cache, prints what a user sees (exit code, code, message, hint),
runs the command again, and ends with a line for each thing that did not hold. METAMCP_TEST_UPSTREAM (a clone of the
real upstream) is used where the sample cannot show it.
"""
