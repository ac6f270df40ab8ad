"""The settings of a system whose authors' are not public, or were made for other input."""

from hmrm_lab.registry import Recipe

PLAIN: Recipe = {
    "input": {"channels": ["u", "v", "strain"], "normalise": "median_rms"},
    "augment": {"motionmix": 0.0, "flip": True},
    "loss": {"gamma": 0.0, "class_weight_power": 0.75},
    "training": {
        "epochs": 40,
        "batch": 64,
        "optimizer": "adamw",
        "lr": 1e-3,
        "weight_decay": 0.05,
        "schedule": "cosine",
        "warmup_epochs": 4,
    },
}
