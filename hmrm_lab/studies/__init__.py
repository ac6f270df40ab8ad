"""Studies: whole experiments, from settings to report."""
