"""Changes to the upstream tree: declared as data, found by syntax, counted exactly, checked afterwards.

`declaration` reads patches, `engine` applies them to a tree, `overrides` lays whole files over it, `verification` says
whether the result is what the platform needs. Heavy libraries load with the module that needs them.
"""
