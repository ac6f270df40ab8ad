"""Training: losses and the one classifier loop."""
