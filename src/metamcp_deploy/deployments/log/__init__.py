"""What is shown of an app's log: which of its lines, masked, with known failures explained."""
