"""Faces: detection, landmarks, alignment, regions, apex. Importing this registers the providers."""

from hmrm_lab.faces import dlib68, landmarks, mtcnn, template

__all__ = ["cached", "dlib68", "mtcnn", "template"]
