"""Notebooks: found, given their parameters, executed, and made into pages.

finding       which notebooks there are, and what they say of themselves
parameters    values checked against a notebook's first cell
watch         runs inside the kernel: what goes wrong beside the cells
faults        what went wrong, in one sentence
execution     through papermill, with everything that papermill lets pass
pages         an executed notebook as HTML, and the index of a folder of them
"""
