"""The app: what it should be, whose it is, and what changing it takes."""
