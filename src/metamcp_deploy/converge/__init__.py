"""What a target has in its workspace, compared with what it should have, and made so."""
