"""Reporting: pure figure functions, tables, and the HTML report."""
