"""Faces: detection, landmarks, alignment, regions, apex. Importing this registers the providers."""

from hmrm_lab.faces import detectors, face, landmarks
