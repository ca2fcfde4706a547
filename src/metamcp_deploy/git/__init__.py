"""Runs git, and reads repositories with GitPython: nothing else imports it.

`environments` decides which configuration git reads; `repository` imports the library, which takes a moment, so import
it inside the function that needs it.
"""
