"""Recorded data sets, one file each, and how their tables and folders are read."""
