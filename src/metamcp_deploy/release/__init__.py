"""The built release: what it is, packed, described, compared, sent."""
