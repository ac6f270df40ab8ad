"""Data sets: one file or folder each, the recordings in a folder."""

import pandas as pd

from hmrm_lab.datasets import flowmaps, synthetic
from hmrm_lab.datasets.recordings import manifest, reader, smic
from hmrm_lab.registry import datasets as registered


def datasets() -> pd.DataFrame:
    """List the data sets: one row each, with the unit of its maps, source and options.

    `needs root` says whether `lab.load` must be told the folder.

    Examples
    --------
    >>> lab.datasets().query("not `needs root`").index.tolist()
    ['synthetic']
    """
    return registered.table(
        **{"needs root": lambda entry: entry.needs_root},
        unit=lambda entry: entry.unit_of({}),
        source=lambda entry: entry.source,
    )
