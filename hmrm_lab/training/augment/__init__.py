"""Augmentation of motion maps while training."""
