"""Faces: regions from landmarks."""
