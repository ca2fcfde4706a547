"""The database of a deployed app, over SQL: how it is reached as the caller, what it says, and what is done with it.

Works with `--app NAME -p PROFILE` too: everything is found from the app's resources. psycopg is imported by those who
connect, when they do.
"""
