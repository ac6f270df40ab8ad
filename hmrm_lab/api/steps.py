"""The steps of the method one by one, for looking into them; a run needs none of them by name.

Faces and apex, flow, MotionMix, the selective scan and its regions, the magnifier of AMMSM, and
what a network is given of a clip.
"""

from collections.abc import Sequence
from dataclasses import replace

from hmrm_lab.evaluation.magnification import growth_table
from hmrm_lab.evaluation.occlusion import occlusion_falls
from hmrm_lab.faces.affine import fit_similarity
from hmrm_lab.faces.align import AlignedFrames
from hmrm_lab.faces.align import align_clip as align
from hmrm_lab.faces.evaluate import (
    apex_table,
    crop_steps_px,
    movement_px,
    reference_track,
    tracks_table,
)
from hmrm_lab.faces.evaluate import clip_curve as apex_curve
from hmrm_lab.faces.extras import installed_providers
from hmrm_lab.faces.face import five_points
from hmrm_lab.faces.regions import part_masks, reduce_masks
from hmrm_lab.faces.template import dense_landmarks
from hmrm_lab.faces.track import FaceTrack, find_faces
from hmrm_lab.flow.evaluate import clip_trials, errors_of, evaluate_trials, facial_trials
from hmrm_lab.flow.gru_attention.steps import flow_steps
from hmrm_lab.flow.normalise import normalise_maps
from hmrm_lab.flow.of_clip import estimator
from hmrm_lab.flow.strain import optical_strain
from hmrm_lab.models.ammsm.choice import make_choice
from hmrm_lab.models.ammsm.inspection import magnified, surviving_tokens
from hmrm_lab.models.ammsm.magnifier import Magnified, magnification_loss
from hmrm_lab.models.ammsm.sparse_activation import count_kept, motion_of_tokens
from hmrm_lab.models.inspection import look_inside, mixing_matrices, steps_by_region
from hmrm_lab.models.meganet import attention_maps
from hmrm_lab.models.scan.inside import closed_form_matrix, scan_matrix, trace_scan
from hmrm_lab.models.tokens import region_boxes, region_mask, region_motion, region_names
from hmrm_lab.preparation.disturbed import disturbed, rising_clips
from hmrm_lab.preparation.dynamic_image import hump_weights, rank_weights
from hmrm_lab.preparation.network_inputs import given, kept_of, look_at
from hmrm_lab.records import Clip, KnownMotion
from hmrm_lab.reporting.flow_point import point_table
from hmrm_lab.studies.own_clip import chosen_recording, find_own_clip, recording_clip, remembering
from hmrm_lab.training.augment.motionmix import template_masks
from hmrm_lab.training.augment.provenance import (
    distance_table,
    draw_mixtures,
    join_masks,
    mix_pair,
    provenance_table,
)
from hmrm_lab.training.augment.warps import crop_motion, steadied
from hmrm_lab.training.learner import Learner

__all__ = [
    "FaceTrack",
    "KnownMotion",
    "Learner",
    "Magnified",
    "align",
    "apex_curve",
    "apex_table",
    "attention_maps",
    "chosen_recording",
    "clip_trials",
    "closed_form_matrix",
    "count_kept",
    "crop_motion",
    "crop_steps_px",
    "dense_landmarks",
    "distance_table",
    "disturbed",
    "draw_mixtures",
    "errors_of",
    "estimator",
    "evaluate_trials",
    "facial_trials",
    "find_faces",
    "find_own_clip",
    "five_points",
    "flow_steps",
    "given",
    "growth_table",
    "hump_weights",
    "installed_providers",
    "join_masks",
    "kept_of",
    "look_at",
    "look_inside",
    "magnification_loss",
    "magnified",
    "make_choice",
    "mix_pair",
    "mixing_matrices",
    "motion_of_tokens",
    "movement_px",
    "normalise_maps",
    "occlusion_falls",
    "optical_strain",
    "part_masks",
    "point_table",
    "provenance_table",
    "rank_weights",
    "recording_clip",
    "reduce_masks",
    "reference_track",
    "region_boxes",
    "region_mask",
    "region_motion",
    "region_names",
    "remembering",
    "rising_clips",
    "scan_matrix",
    "steadied",
    "steps_by_region",
    "surviving_tokens",
    "template_masks",
    "trace_scan",
    "tracks_table",
    "turned",
]


def turned(clip: Clip, eyes: Sequence[tuple[float, float]], size_px: int) -> Clip:
    """The clip as a camera farther away and tilted might have seen it.

    `eyes` are the places (x, y) of the onset's left and right eye in frames of `size_px`.
    """
    import numpy as np

    track = reference_track(clip)
    camera = fit_similarity(track[clip.onset].five()[:2], np.array(eyes, dtype=np.float32))
    key = clip.key._replace(clip=f"{clip.key.clip}_turned")
    return replace(clip, key=key, frames=AlignedFrames(clip.frames, camera, track, size_px))
