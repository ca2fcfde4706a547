"""The upstream repository: its address, refs, mirror and known holes."""
