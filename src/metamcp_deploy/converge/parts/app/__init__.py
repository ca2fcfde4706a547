"""The app: what it should be, who owns it, and what changing it takes."""
