"""The sections of an experiment's settings; defaults are the paper's, with its section number."""

import re
from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from hmrm_lab.errors import InputError, check_known, unknown_name
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
        check_known("data set", name, sets)
        if name in held_out and not set(train_on or sets) - {name}:
            problem = f"{protocol}: without {name} there is no data set to train on"
            raise InputError(problem, hint="load several data sets")


Channel = Literal["u", "v", "strain", "magnitude", "onset", "apex", "dynamic_image", "mesti"]
Fraction = Annotated[float, Field(ge=0, le=1)]
SubjectName = Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")]  # dataset/subject
SamePerson = Annotated[tuple[SubjectName, ...], Field(min_length=2)]
SamePersons = Annotated[tuple[SamePerson, ...], Field(examples=[[["casme2/sub01", "samm/006"]]])]
Seeds = Annotated[tuple[int, ...], Field(min_length=1, examples=[[0, 1, 2]])]


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
    name: str = "synthetic"  # the data set
    classes: str = "megc3"  # negative, positive, surprise: paper 4.1; docs/classes.md lists others


class FacesConfig(Component):
    """Settings for crops from recordings; not used by data sets with landmarks of their own."""

    name: str = "dlib"  # 68 landmarks align: paper 4.2
    apex: Literal["annotated", "spotted"] = "annotated"  # spotted where it is not annotated
    face: Annotated[int, Field(ge=0)] = 0  # counted from the left; 0: largest and most central


class FlowConfig(Component):
    """The flow estimator, and its fine-tuning (decision 0009).

    With `finetune` each fold trains a copy of a learnt flow together with its system, which takes
    about 40 ms per clip and epoch on one core for frames of 112 px, and four times that for 224 px.
    """

    name: str = "gru_attention"  # paper 3.1.1; "tvl1" is model M1 (4.4.1)
    phases: Literal["onset_apex", "both", "mm_cof"] = "onset_apex"  # decision 0018 for others
    finetune: bool = False  # train the flow with the system; paper 4.2 only pre-trains it
    finetune_lr_scale: Annotated[float, Field(gt=0, le=1)] = 0.1  # share of training.lr
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

    channels: tuple[Channel, ...] = ("u", "v", "strain")  # in this order
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
    name: str = "hmrm"  # `hmrm systems` lists all


class AugmentConfig(Section):
    """Augmentation of training clips, drawn in every step."""

    motionmix: Fraction = 0.5  # share of a batch that is mixed; paper 3.1.2 gives none
    mix_lambda: tuple[Fraction, Fraction] = (1.0, 1.0)  # paper 3.1.2 swaps; [a, b] draws a blend
    mix_regions: tuple[Literal["eyes", "mouth"], ...] = ("eyes", "mouth")  # paper 3.1.2
    mixup: Annotated[float, Field(ge=0, le=8)] = 0.0  # alpha of its Beta distribution; 0: none
    flip: bool = False  # mirrors the face; the sign of u changes with it
    shift_px: Annotated[int, Field(ge=0, le=7)] = 0  # the most, to each side
    scale: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # zoom drawn from 1 +- scale
    rotate_deg: Annotated[float, Field(ge=0, le=45)] = 0.0  # of maps in pixels alone


class LossConfig(Section):
    """MS-WCE (3.4), and the loss of action units that are learnt beside the class."""

    scale_weights: tuple[float, ...] = (1.0, 1.0, 1.0)  # fused, coarse, fine; paper 3.4
    learn_scale_weights: bool = False  # instead of the fixed ones; paper 3.4
    gamma: Annotated[float, Field(ge=0)] = 2.0  # focal exponent; paper 3.4 gives none, 0: no focus
    class_weight_power: Fraction = 0.0  # weight of class c is (n / n_c) ** power, mean 1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share given to all classes alike
    margin: bool = False  # margin loss of capsules instead; for networks that answer with lengths
    action_units: Annotated[float, Field(ge=0, le=100)] = 0.0  # their weight (decision 0023)


class TrainingConfig(Section):
    epochs: Annotated[int, Field(ge=1)] = 1000  # passes over the training clips; paper 4.2
    batch: Annotated[int, Field(ge=1)] = 64  # clips of a step; not in the paper
    optimizer: Literal["adamw", "adam"] = "adamw"  # paper 4.2
    lr: Annotated[float, Field(gt=0)] = 5e-4  # learning rate; paper 4.2
    weight_decay: Annotated[float, Field(ge=0)] = 0.01  # paper 4.2
    schedule: Literal["constant", "cosine"] = "constant"  # of the learning rate
    warmup_epochs: Annotated[int, Field(ge=0)] = 0  # while the learning rate rises
    pretrain_epochs: Annotated[int, Field(ge=0)] = 0  # on the built-in faces, before the data
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0  # decay of the averaged weights, per step
    clip_norm: Annotated[float, Field(ge=0)] = 0.0  # 0: gradients are not clipped
    bfloat16: bool = False  # products of linear layers, if the processor has them (decision 0012)
    cuda_graphs: bool = False  # record a step once and replay it; on CUDA devices alone


class EvaluationConfig(Section):
    protocol: Annotated[str, AfterValidator(_check_protocol)] = LOSO  # docs/protocols.md; paper 4.1
    train_on: Annotated[tuple[str, ...], BeforeValidator(_names_in_order)] = ()  # data sets
    seeds: Seeds = (0,)  # one run of all folds for each
    epoch_rule: Literal["last", "inner_subjects", "oracle_test"] = "last"  # the last one peeks
    readout: Literal["fused", "mean"] = "fused"  # the fused head, or the mean over all heads
    tta_flip: bool = False  # also answer the mirrored map, and take the mean
    tta_shift_px: Annotated[int, Field(ge=0, le=3)] = 0  # also answer shifted maps; the mean
    control: Literal["none", "shuffled_labels", "shuffled_within_subjects"] = "none"  # labels
    same_person: SamePersons = ()  # names of one subject: they are held out together
