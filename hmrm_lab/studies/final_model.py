"""The model that a run leaves for new recordings: trained on all clips, part of no figure."""

from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.evaluation.unit import unit_seed
from hmrm_lab.process import settle_process
from hmrm_lab.records import FlowSet
from hmrm_lab.store import RunFolder
from hmrm_lab.training.model_file import MODEL_NAME, save_model
from hmrm_lab.training.trainer import fit

ALL_CLIPS = "all clips"  # in place of a fold's name


def write_final_model(run: RunFolder, flowset: FlowSet, *, device: str = "cpu") -> None:
    """Train once more, on all clips, and keep the result; what is there is left alone.

    It takes the run's first seed, and as many epochs as the median fold of that seed, so that no
    clip has a say in it that had none in the folds. A control run keeps no model: there is
    nothing that it could have learnt.
    """
    config = run.config()
    path = run.path / MODEL_NAME
    if path.is_file() or config.evaluation.control != "none":
        return
    seed = config.evaluation.seeds[0]
    folds = collect_predictions(run).table.query("seed == @seed").groupby("fold")["epoch"].first()
    settle_process()
    fitted = fit(
        config,
        flowset,
        seed=unit_seed(ALL_CLIPS, seed),
        epochs=round(folds.median()),
        device=device,
    )
    save_model(path, fitted)
