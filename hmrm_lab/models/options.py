"""Ranges of options that several systems share, checked where settings are read.

The upper ends are far above anything published: beyond them a typing error is likelier than a wish,
and memory would run out.
"""

from typing import Annotated

from pydantic import Field

Features = Annotated[int, Field(ge=1, le=1024)]  # numbers of a token, filters of a layer
Layers = Annotated[int, Field(ge=1, le=64)]
Heads = Annotated[int, Field(ge=1, le=64)]  # how many fit is for the width to say
Dropped = Annotated[float, Field(ge=0, lt=1)]  # share that dropout and its like take away

Blocks = Annotated[int, Field(ge=1, le=448)]  # along a side; how many fit is for the map to say
Bins = Annotated[int, Field(ge=1, le=360)]  # of directions
Radius = Annotated[int, Field(ge=1, le=448)]  # pixels or frames
InnerFolds = Annotated[int, Field(ge=2)]  # groups of training persons, for choices among them
