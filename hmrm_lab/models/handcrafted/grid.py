"""A map cut into blocks of as equal a size as whole pixels allow."""

import numpy as np

from hmrm_lab.errors import ConfigError
from hmrm_lab.records import Ints


def block_numbers(height: int, width: int, blocks: int, *, option: str = "model.blocks") -> Ints:
    """The block of every pixel, row by row from 0: (`height`, `width`), 0..blocks^2 - 1."""
    check_blocks(height, width, blocks, option=option)
    rows, columns = (np.arange(side) * blocks // side for side in (height, width))
    return np.asarray(rows[:, None] * blocks + columns[None], dtype=np.int64)


def check_blocks(
    height: int, width: int, blocks: int, *, option: str = "model.blocks", least: int = 1
) -> None:
    """A `ConfigError` that names `option` where a block has less than `least` pixels a side."""
    if blocks * least > min(height, width):
        of = "" if least == 1 else f" of at least {least} pixels"
        raise ConfigError(
            f"{blocks} blocks{of} a side do not fit {width} x {height} pixels",
            mend=f"set a smaller {option}",
        )
