"""The model that a run leaves for new recordings: trained on all clips, part of no figure."""

from hmrm_lab.errors import DiskFullError, HmrmError, InputError
from hmrm_lab.evaluation.failures import failure_of
from hmrm_lab.evaluation.fold import unit_seed
from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.processes import settle_process
from hmrm_lab.runtime.progress import UNWATCHED, Watcher
from hmrm_lab.runtime.store import RunFolder, refuse_full_disk
from hmrm_lab.training.checkpoint import Checkpoint
from hmrm_lab.training.model_file import MODEL_NAME, save_model
from hmrm_lab.training.trainer import fit

CHECKPOINT = "final-model.safetensors"
ALL_CLIPS = "all clips"  # in place of a fold's name


def write_final_model(
    run: RunFolder, flowset: FlowSet, *, device: str = "cpu", watch: Watcher = UNWATCHED
) -> None:
    """Train once more, on all clips, and keep the result; what is there is left alone.

    A training that was cut off goes on; an incomplete run gets none. Raises `HmrmError` if it
    diverges or runs out of memory.

    It takes the run's first seed, and as many epochs as the median fold of that seed, so that no
    clip has a say in it that had none in the folds. A control run keeps no model: there is
    nothing that it could have learnt.
    """
    config = run.config()
    path = run.path / MODEL_NAME
    incomplete = not run.metrics()["complete"]
    if path.is_file() or incomplete or config.evaluation.control != "none":
        return
    seed = config.evaluation.seeds[0]
    folds = collect_predictions(run).table.query("seed == @seed").groupby("fold")["epoch"].first()
    settle_process(device)
    stage = f"{config.model.name}: model of all clips"
    checkpoint = Checkpoint(
        run.running / CHECKPOINT, tell=lambda done, epochs, loss: watch(stage, done, epochs)
    )
    try:
        fitted = fit(
            config,
            flowset,
            seed=unit_seed(ALL_CLIPS, seed),
            run_seed=seed,
            epochs=round(folds.median()),
            device=device,
            checkpoint=checkpoint,
        )
    except (InputError, DiskFullError):
        raise
    except Exception as error:
        refuse_full_disk(error, run.path)
        failure = failure_of(error)
        raise HmrmError(
            f"{run.path}: the model of all clips, for `hmrm predict`, failed ({failure.kind}:"
            f" {failure.reason}); the figures of the folds are kept"
        ) from error
    save_model(path, fitted)
    checkpoint.path.unlink(missing_ok=True)
