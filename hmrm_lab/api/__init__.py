"""The face: what a person types after `import hmrm_lab as lab`.

Nouns: `Clips`, `MotionMaps`, `System`, `Protocol`, `Result`. Verbs: `load`, `evaluate`, and so on.
Everything here calls the packages beneath and holds no method of its own.

    plot     figures
    steps    the steps of the method one by one: faces, flow, mixing, scan, inputs
    stats    what a number is worth: chance, peeking, intervals, power
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["plot", "stats", "steps"])
