"""Notebooks: found, given their parameters, executed, checked, and made into pages.

pages     notebook files, their parameters, and their pages of HTML
run       execution through papermill, with everything that papermill lets pass
faults    what went wrong: reported from inside the kernel, and in one sentence
"""
