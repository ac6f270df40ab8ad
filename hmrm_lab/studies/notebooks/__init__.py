"""Notebooks: found, given their parameters, executed, checked, and made into pages."""
