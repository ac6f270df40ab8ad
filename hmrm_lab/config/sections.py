"""The sections of an experiment's settings; defaults are the paper's, with its section number."""

import re
from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from hmrm_lab.errors import InputError, unknown_name
from hmrm_lab.records import PICTURES

PICTURE_SIDE_PX = 56  # twice a motion map, and half a gray clip
LOSO, EACH = "loso", "each"  # leave one subject out; of `holdout:`, every data set in turn
PROTOCOLS = (LOSO, "kfold:5", "holdout:samm", f"holdout:{EACH}", "folds.csv")
PROTOCOL = re.compile(r"loso|kfold:([2-9]|[1-9]\d+)|holdout:.+|.+\.csv")


def _check_protocol(name: str) -> str:
    if not PROTOCOL.fullmatch(name):
        raise unknown_name("protocol", name, PROTOCOLS)
    return name


def _names_in_order(value: Any) -> Any:
    names = value if isinstance(value, list | tuple) else str(value).split(",")
    return sorted({str(name).strip() for name in names} - {""})


def tested_sets(protocol: str, sets: Collection[str]) -> list[str]:
    """Which of the data sets are tested, in order: all, unless one alone is held out."""
    value = protocol.removeprefix("holdout:")
    return [value] if value not in (protocol, EACH) else sorted(sets)


def check_sets(protocol: str, train_on: Collection[str], sets: Collection[str]) -> None:
    """Refuse a protocol that names a data set which is not there, or leaves none to train on."""
    held_out = tested_sets(protocol, sets) if protocol.startswith("holdout:") else []
    for name in (*train_on, *held_out):
        if name not in sets:
            raise unknown_name("data set", name, sets)
        if name in held_out and not set(train_on or sets) - {name}:
            problem = f"{protocol}: without {name} there is no data set to train on"
            raise InputError(problem, hint="load several data sets")


Fraction = Annotated[float, Field(ge=0, le=1)]
SubjectName = Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")]  # dataset/subject
SamePerson = Annotated[tuple[SubjectName, ...], Field(min_length=2)]


class Section(BaseModel):
    """A frozen group of settings that refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Component(Section):
    """A registered builder by name; all other keys are options of that builder."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @property
    def choice(self) -> dict[str, Any]:
        """The builder's name and its own options."""
        beside = set(type(self).model_fields) - {"name"}
        return self.model_dump(mode="json", exclude=beside)


class DataConfig(Component):
    name: str = "synthetic"
    classes: str = "megc3"  # 4.1: negative, positive, surprise


class FacesConfig(Component):
    """Settings for crops from recordings; not used by data sets with landmarks of their own."""

    name: str = "dlib"  # 4.2: 68 landmarks align
    apex: Literal["annotated", "spotted"] = "annotated"  # spotted where it is not annotated
    face: Annotated[int, Field(ge=0)] = 0  # counted from the left; 0: largest and most central


class FlowConfig(Component):
    """The flow estimator, and its fine-tuning (decision 0009).

    With `finetune` each fold trains a copy of a learnt flow together with its system, which takes
    about 40 ms per clip and epoch on one core for frames of 112 px, and four times that for 224 px.
    """

    name: str = "gru_attention"  # 3.1.1; "tvl1" is model M1 (4.4.1)
    phases: Literal["onset_apex", "both", "mm_cof"] = "onset_apex"  # decision 0018 for others
    finetune: bool = False  # 4.2 pre-trains and does not say that the flow is trained further
    finetune_lr_scale: Annotated[float, Field(gt=0, le=1)] = 0.1  # of training.lr
    finetune_side_px: Annotated[int, Field(ge=56, le=224)] = 112  # frames are reduced to this

    @property
    def joins_phases(self) -> bool:
        """Whether the flow from apex to offset is joined to that from onset to apex."""
        return self.phases != "onset_apex"


class InputConfig(Section):
    """The input of a system: channels of a clip's flow map, and pictures of its frames.

    With a picture among them all channels are `PICTURE_SIDE_PX` a side, and maps are enlarged
    (decision 0018). With `frames` above 1 it is a sequence: the flow from the onset to each of so
    many frames, evenly from the one after it to the apex or the offset (decision 0024).
    """

    channels: tuple[
        Literal["u", "v", "strain", "magnitude", "onset", "apex", "dynamic_image", "mesti"], ...
    ] = ("u", "v", "strain")
    normalise: Literal["none", "median_rms"] = "none"  # of flow; pictures have a scale of their own
    frames: Annotated[int, Field(ge=1, le=64)] = 1  # 1: the flow from onset to apex alone
    until: Literal["apex", "offset"] = "apex"  # the last frame of a sequence

    @property
    def has_pictures(self) -> bool:
        return not set(PICTURES).isdisjoint(self.channels)

    @property
    def reads_flow(self) -> bool:
        return not set(self.channels) <= set(PICTURES)

    def side(self, map_side_px: int) -> int:
        """Side of a system's input in pixels, for maps of this side."""
        return PICTURE_SIDE_PX if self.has_pictures else map_side_px


class ModelConfig(Component):
    name: str = "hmrm"


class AugmentConfig(Section):
    """Augmentation of training clips, drawn in every step."""

    motionmix: Fraction = 0.5  # 3.1.2; share of a batch, the text gives none
    mix_lambda: tuple[Fraction, Fraction] = (1.0, 1.0)  # 3.1.2 swaps; (a, b) draws a blend (3)
    mix_regions: tuple[Literal["eyes", "mouth"], ...] = ("eyes", "mouth")  # 3.1.2
    mixup: Annotated[float, Field(ge=0, le=8)] = 0.0  # alpha of its Beta distribution; 0: none
    flip: bool = False  # mirrors the face; the sign of u changes with it
    shift_px: Annotated[int, Field(ge=0, le=7)] = 0
    scale: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # zoom drawn from 1 +- scale
    rotate_deg: Annotated[float, Field(ge=0, le=45)] = 0.0  # of maps in pixels alone


class LossConfig(Section):
    """MS-WCE (3.4), and the loss of action units that are learnt beside the class."""

    scale_weights: tuple[float, ...] = (1.0, 1.0, 1.0)  # fused, coarse, fine; 3.4, pre-defined
    learn_scale_weights: bool = False  # 3.4, learnable
    gamma: Annotated[float, Field(ge=0)] = 2.0  # 3.4, focal-style; the exponent is not in the text
    class_weight_power: Fraction = 0.0  # weight of class c is (n / n_c) ** power, mean 1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    action_units: Annotated[float, Field(ge=0, le=100)] = 0.0  # weight; decision 0023


class TrainingConfig(Section):
    epochs: Annotated[int, Field(ge=1)] = 1000  # 4.2
    batch: Annotated[int, Field(ge=1)] = 64  # not in the text
    optimizer: Literal["adamw", "adam"] = "adamw"  # 4.2
    lr: Annotated[float, Field(gt=0)] = 5e-4  # 4.2
    weight_decay: Annotated[float, Field(ge=0)] = 0.01  # 4.2
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    pretrain_epochs: Annotated[int, Field(ge=0)] = 0  # on the built-in faces, before the data
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0  # decay of the averaged weights, per step
    clip_norm: Annotated[float, Field(ge=0)] = 0.0  # 0: gradients are not clipped
    bfloat16: bool = False  # products of linear layers, where the processor has them (0012)
    cuda_graphs: bool = False  # record a step once and replay it; on CUDA devices alone


class EvaluationConfig(Section):
    protocol: Annotated[str, AfterValidator(_check_protocol)] = LOSO  # 4.1; docs/protocols.md
    train_on: Annotated[tuple[str, ...], BeforeValidator(_names_in_order)] = ()  # data sets
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    epoch_rule: Literal["last", "inner_subjects", "oracle_test"] = "last"
    readout: Literal["fused", "mean"] = "fused"  # the fused head, or the mean over all heads
    tta_flip: bool = False
    tta_shift_px: Annotated[int, Field(ge=0, le=3)] = 0
    control: Literal["none", "shuffled_labels", "shuffled_within_subjects"] = "none"
    same_person: tuple[SamePerson, ...] = ()  # names of one subject: they are held out together
