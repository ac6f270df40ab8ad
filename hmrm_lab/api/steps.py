"""The steps of the method one by one, for looking into them; a run needs none of them by name.

Faces and apex, flow, MotionMix, the selective scan and its regions, the magnifier of AMMSM, and
what a network is given of a clip.
"""

from collections.abc import Sequence
from dataclasses import replace

from hmrm_lab.evaluation.magnification import growth_table
from hmrm_lab.evaluation.recording_prediction import occlusion_falls
from hmrm_lab.faces.accuracy import (
    apex_table,
    crop_steps_px,
    movement_px,
    reference_track,
    tracks_table,
)
from hmrm_lab.faces.accuracy import clip_curve as apex_curve
from hmrm_lab.faces.align import AlignedFrames, find_faces
from hmrm_lab.faces.align import align_clip as align
from hmrm_lab.faces.detectors import installed_providers
from hmrm_lab.faces.face import five_points
from hmrm_lab.faces.landmarks import dense_landmarks, fit_similarity, part_masks, reduce_masks
from hmrm_lab.flow.endpoint_error import clip_trials, errors_of, evaluate_trials, facial_trials
from hmrm_lab.flow.estimator import estimator
from hmrm_lab.flow.gru_attention import flow_steps
from hmrm_lab.flow.motion_maps import normalise_maps, optical_strain
from hmrm_lab.models.ammsm.ammsm import magnified, surviving_tokens
from hmrm_lab.models.ammsm.magnifier import Magnified, magnification_loss
from hmrm_lab.models.ammsm.sparse_activation import count_kept, make_choice, motion_of_tokens
from hmrm_lab.models.hmrm.inspection import look_inside, mixing_matrices, steps_by_region
from hmrm_lab.models.hmrm.region_fusion import (
    region_boxes,
    region_mask,
    region_motion,
    region_names,
)
from hmrm_lab.models.meganet import attention_maps
from hmrm_lab.models.scan.inside import closed_form_matrix, scan_matrix, trace_scan
from hmrm_lab.preparation.clip_arrays import apex_weights, rank_weights
from hmrm_lab.preparation.network_inputs import disturbed, given, kept_of, look_at, rising_clips
from hmrm_lab.records import Clip, KnownMotion
from hmrm_lab.reporting.plots.motion_fields import point_table
from hmrm_lab.studies.prepare import cached_faces, chosen_recording, find_own_clip
from hmrm_lab.training.augmentation import template_masks
from hmrm_lab.training.learner import Learner
from hmrm_lab.training.mixing import (
    crop_motion,
    distance_table,
    draw_mixtures,
    join_masks,
    mix_pair,
    provenance_table,
    steadied,
)


def turned(clip: Clip, eyes: Sequence[tuple[float, float]], size_px: int) -> Clip:
    """The clip as a camera farther away and tilted might have seen it.

    `eyes` are the places (x, y) of the onset's left and right eye in frames of `size_px`.
    """
    import numpy as np

    track = reference_track(clip)
    camera = fit_similarity(track[clip.onset].five()[:2], np.array(eyes, dtype=np.float32))
    key = clip.key._replace(clip=f"{clip.key.clip}_turned")
    return replace(clip, key=key, frames=AlignedFrames(clip.frames, camera, track, size_px))
