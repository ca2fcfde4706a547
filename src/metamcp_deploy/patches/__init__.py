"""Changes to the upstream tree: declared as data, matched by syntax, counted exactly, checked afterwards.

`declaration` reads patches, `engine` applies them to a tree, `overrides` lays whole files over it, and `verification`
checks the result. Heavy libraries load with the module that needs them.
"""
