"""Notebooks: found, given their parameters, executed, and checked."""
