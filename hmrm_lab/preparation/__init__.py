"""Clips to motion maps: faces, flow, strain, region masks; every step cached by its content.

This is where frames end: everything above works on a `FlowSet`.
"""

from hmrm_lab.preparation.maps import (
    compute_flowset,
    frames_for,
    lacks_frames,
    load_clips,
    load_flowset,
    reads_past_apex,
    reduce_frames,
    require_clips,
    require_frames,
    require_frames_for,
    with_whole_clips,
)
