"""The optical flow of one clip, by the name of the estimator."""

from functools import lru_cache
from typing import Any

import pandas as pd

from hmrm_lab.errors import InputError
from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.records import Clip, Floats, KnownMotion
from hmrm_lab.registry import flows as registered

EXACT = "exact"


def flow(
    clip: Clip,
    method: str | FlowEstimator = "gru_attention",
    *,
    start: int | None = None,
    end: int | None = None,
    **options: Any,
) -> Floats:
    """Optical flow of a clip from onset to apex, or from frame `start` to frame `end`.

    Parameters
    ----------
    method
        A name of `lab.flows()`, an estimator of your own, or `exact`, the true motion of drawn
        clips.
    options
        Of the estimator, such as `weights="mine.safetensors"`.

    Shapes
    ------
    returns : (2, H, W) float32, pixels, order (u, v); u to the right, v downwards

    Raises
    ------
    ConfigError
        For a method or an option that does not exist.
    InputError
        If the clip has no apex, or its exact motion is not known.

    Examples
    --------
    >>> clip = lab.load("synthetic", preset="smoke")[0]
    >>> lab.flow(clip, "dis").shape
    (2, 224, 224)
    """
    first = clip.onset if start is None else start
    last = clip.known_apex if end is None else end
    if method == EXACT:
        if not isinstance(clip.frames, KnownMotion):
            name = "/".join(clip.key)
            raise InputError(f"the exact motion of {name} is not known", hint="take a drawn clip")
        return clip.frames.flow(first, last)
    estimate = estimator(method, **options) if isinstance(method, str) else method
    return estimate(clip.frames[first][None], clip.frames[last][None])[0]


def flows() -> pd.DataFrame:
    """List the flow estimators: one row each, with source and options.

    Examples
    --------
    >>> lab.flows().index.tolist()
    ['deepflow', 'dis', 'farneback', 'gru_attention', 'tvl1']
    """
    return registered.table(source=lambda entry: entry.source)


@lru_cache(maxsize=8)
def estimator(name: str, **options: Any) -> FlowEstimator:
    """Build a flow estimator by its name, once: a learnt one reads its weights.

    It takes onsets and apexes, both (B, H, W, 3) uint8, and gives (B, 2, H, W) pixels.
    """
    entry = registered[name]
    entry.complete(options)
    built: FlowEstimator = entry.build(**options)
    return built
