"""The face: what a person types after `import hmrm_lab as lab`.

Nouns: `Clips`, `MotionMaps`, `System`, `Protocol`, `Result`. Verbs: `load`, `evaluate`, and so on.
Everything here calls the packages beneath and holds no method of its own.
"""

from hmrm_lab.api import plot

__all__ = ["plot"]
