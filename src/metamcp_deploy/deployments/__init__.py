"""What runs on a target: deploying, following, recording, looking, starting and stopping."""
