"""Ready-made maps of motion: the published ones, and those of one's own.

`flowmaps` are 28x28 pixels, in STSTNet's layout, as HTNet's code distributes it:

```
root/labels.csv                dataset,sub,filename_o,label
root/maps/<sub>_<clip> .png    8-bit RGB: red u, green v, blue strain (the blank is theirs)
```
Each channel was scaled to 0..255 over its own map, so pixels, the place of zero and the ratio of u
to v are lost: `input.normalise = "median_rms"` puts the median at zero and the RMS of each channel
at one. Directions and magnitudes are those of the channels so scaled, not of the face.

`maps` are files of any size that a table lists, or one array. Flow (u, v) gets its strain, and all
are averaged over equal areas to 28x28, as the maps of recordings are. They are .npy, .npz (of one
array), .flo, .pfm, and PNG of 16 bits, where 2**15 is no motion and a step 1/64 px (u, v, valid;
KITTI), or of 8 bits, which is as in `flowmaps`: 0..255 of a channel is 0..1 of no known unit.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.classes import MEGC3, ClassScheme
from hmrm_lab.datasets.flow_pairs.stored import FORMATS, read_flow
from hmrm_lab.datasets.images import decode
from hmrm_lab.datasets.recordings.coding import CodingTable, Row, data_set, find_name, read_coding
from hmrm_lab.datasets.recordings.findings import KNOWN, bad_input, check_root, megc2019, shown
from hmrm_lab.datasets.recordings.manifest import own_path, own_table
from hmrm_lab.datasets.walking import Tree, check_name, loose
from hmrm_lab.errors import InputError
from hmrm_lab.records import PX, RELATIVE, ClipKey, Floats, FlowSet
from hmrm_lab.registry import datasets

SIDE_PX = 28
Found = tuple[ClipKey, int, Floats]  # a clip, its label and its map
SHAPES = "give (u, v) or (u, v, strain) as (2 or 3, H, W) or (H, W, 2 or 3)"


@datasets.register("flowmaps", unit=RELATIVE, source="Liong et al. 2019; distributed with HTNet")
def flowmaps(root: Path, *, scheme: ClassScheme = MEGC3) -> FlowSet:
    """Read all maps; the first thing that is wrong is an `InputError` with file, row and hint.

    Subjects and clips that lost their zeros get those of the official list, or of the map's name.
    """
    if not root.is_dir():
        raise bad_input(root, "no such folder", "give the folder that holds labels.csv")
    table = root / "labels.csv"
    if not table.is_file():
        raise bad_input(root, "no labels.csv in this folder", "it lists the maps")
    files = {path.stem.strip(): path for path in sorted((root / "maps").glob("*.png"))}
    official = {(key.dataset, *map(loose, key[1:])): key for key in megc2019()}
    subjects: dict[tuple[str, str], str] = {}

    def read(row: Row) -> Found:
        for field in ("data set", "subject", "clip"):
            check_name(row[field], f"the {field}")
        if row["label"].isdigit() and scheme.classes != MEGC3.classes:
            words = f"label '{row['label']}' is a number, which is a class of {MEGC3.name}"
            raise ValueError(f"{words}, not of {scheme.name}", "write the names of classes")
        label = scheme.label_of(row["label"])
        if label is None:
            raise ValueError(f"label '{row['label']}' is none of {scheme.numbered}")
        name = ClipKey(data_set(row["data set"]), row["subject"], row["clip"])
        stem = find_name(f"{name.subject}_{name.clip}", [*files])
        if stem is None:
            raise ValueError(f"no map '{name.subject}_{name.clip}.png' for this clip in maps/")
        parts, width = stem.split("_"), name.subject.count("_") + 1
        called = ClipKey(name.dataset, "_".join(parts[:width]), "_".join(parts[width:]))
        key = official.get((name.dataset, *map(loose, name[1:])), called)
        subject = subjects.setdefault((key.dataset, loose(key.subject)), key.subject)
        return key._replace(subject=subject), label, _read_map(files[stem])

    return _flowset(read_coding(table, KNOWN["flowmaps"]["columns"]), scheme, RELATIVE, read)


@datasets.register("maps", source="your own")
def maps(
    root: Path,
    *,
    scheme: ClassScheme = MEGC3,
    table: str = "maps.csv",
    array: str = "",
    unit: Literal["px", "relative"] = "px",
    follow_links: bool = False,
) -> FlowSet:
    """Read maps of one's own; the first thing that is wrong is an `InputError` with file and row.

    `table` has the columns path, subject and label. `array` is one file (.npy, .npz) with a map for
    each of its rows, in their order, in place of the paths. `unit` is relative where u and v have
    no common scale; 8-bit PNG files have none.
    """
    check_root(root, "your maps")
    tree = Tree(root, follow_links)
    known = KNOWN["maps"]["columns"].items()
    listed = own_table(tree, table, {key: of for key, of in known if key != "path" or not array})
    place = {row.number: nth for nth, row in enumerate(listed.rows)}
    whole = _read_file(tree.inside(root / array)) if array else None
    if whole is not None and len(whole) != len(place):
        problem = f"{len(whole)} maps for the {len(place)} rows of {shown(listed.path)}"
        raise bad_input(root / array, problem, "give as many of each, in one order")

    def read(row: Row) -> Found | None:
        path, nth = Path(array or own_path(row["path"])), place[row.number]
        name = row["clip"] or (f"map{nth:04d}" if array else path.stem)
        key = ClipKey(data_set(row["dataset"]) or "maps", row["subject"], name)
        for field, text in zip(("data set", "subject", "clip"), key, strict=True):
            check_name(text, f"the {field}")
        if not row["emotion"]:
            raise ValueError("the label is empty", "fill it in, or remove this row")
        label = scheme.label(row["emotion"], key.dataset)
        if label is None:
            return None
        values = _read_file(tree.inside(root / path)) if whole is None else whole[nth]
        return key, label, _planes(values, unit)

    return _flowset(listed, scheme, unit, read)


def _flowset(
    table: CodingTable, scheme: ClassScheme, unit: str, read: Callable[[Row], Found | None]
) -> FlowSet:
    """The maps of a table's rows; an `InputError` for the first row that is wrong."""
    rows: dict[ClipKey, tuple[int, int]] = {}
    made: list[Floats] = []
    size: tuple[int, ...] = ()
    for row in table.rows:
        try:
            found = read(row)
            if found is None:
                continue
            key, label, planes = found
            if key in rows:
                raise ValueError(f"{'/'.join(key)} is listed twice, first in row {rows[key][0]}")
            size = size or planes.shape[1:]
            if planes.shape[1:] != size:
                raise ValueError(f"{planes.shape[1:]} cells, the first map {size}", "give one size")
        except (ValueError, LookupError) as error:
            problem, hint = (*error.args, "correct or remove this row")[:2]
            raise bad_input(table.path, str(problem), hint, row.number) from None
        except InputError as error:
            problem = f"{error.where}: {error.problem}"
            raise bad_input(table.path, problem, error.hint, row.number) from None
        rows[key] = row.number, label
        made.append(area_means(planes, SIDE_PX))
    if not rows:
        raise bad_input(table.path, "no maps of the classes", "check the column label")
    labels = np.array([label for _, label in rows.values()], dtype=np.int64)
    return FlowSet(np.stack(made), labels, tuple(rows), scheme.classes, unit=unit)


def _read_map(path: Path) -> Floats:
    """(3, 28, 28) float32 in 0..1, order (u, v, strain)."""
    image = _read_png(path)
    if image is None:
        hint = "copy the file again, or remove this row"
        raise bad_input(path, "cut off or not a PNG image", hint)
    if image.shape != (SIDE_PX, SIDE_PX, 3) or image.dtype != np.uint8:
        problem = f"shape {image.shape} of {image.dtype}, not ({SIDE_PX}, {SIDE_PX}, 3) of uint8"
        raise bad_input(path, problem, "export the map as an 8-bit RGB image of 28x28 pixels")
    return _planes(image, RELATIVE)


def _read_png(path: Path) -> NDArray[Any] | None:
    """A picture (H, W) or (H, W, 3), order (red, green, blue); None if it is no whole PNG.

    OpenCV fills what a cut-off file lacks, so its end is checked first.
    """
    content = path.read_bytes()
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or b"IEND" not in content[-16:]:
        return None
    image = decode(content, cv2.IMREAD_UNCHANGED)
    return image[..., ::-1] if image is not None and image.ndim == 3 else image


def _read_file(path: Path) -> NDArray[Any]:
    """One map, or the array of many, as the file has it; an `InputError` if it has none."""
    suffix = path.suffix.lower()
    if not path.is_file():
        raise bad_input(path, "no such file", "check its name")
    if suffix not in (".npy", ".npz", *FORMATS):
        raise bad_input(path, f"'{suffix}' is no map", f"give .npy, .npz, {', '.join(FORMATS)}")
    if suffix == ".png":
        image = _read_png(path)
        if image is None or image.shape[2:] != (3,):
            hint = "give RGB of 8 bits (u, v, strain), or of 16 bits as KITTI has it"
            raise bad_input(path, "cut off, or no PNG image with three channels", hint)
        return read_flow(path) if image.dtype == np.uint16 else image
    if suffix in FORMATS:
        return read_flow(path)
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)  # noqa: TID251
        arrays = {n: stored[n] for n in stored.files} if hasattr(stored, "files") else {"": stored}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, MemoryError):
        raise bad_input(path, "not an array of NumPy", "write it with numpy.save") from None
    if len(arrays) != 1:
        names = shown(", ".join(arrays))
        raise bad_input(path, f"{len(arrays)} arrays: {names}", "save one alone")
    (values,) = arrays.values()
    if values.dtype.kind not in "fiu":
        raise bad_input(path, f"values of type {values.dtype}", "save them as float32")
    return values


def _planes(values: NDArray[Any], unit: str) -> Floats:
    """A map (3, H, W), order (u, v, strain), of one that is (2|3, H, W) or (H, W, 2|3)."""
    shape, levels = values.shape, values.dtype.kind == "u"
    first, last = (len(shape) == 3 and shape[at] in (2, 3) for at in (0, -1))
    if first == last or min(shape) < 2:
        raise ValueError(f"a map of shape {shape}", SHAPES)
    if levels and unit == PX:
        problem = f"levels ({values.dtype}) that are no pixels of motion"
        raise ValueError(problem, "set data.unit=relative, or give floats")
    planes = values if first else np.moveaxis(values, -1, 0)
    with np.errstate(over="ignore"):
        planes = (planes / np.iinfo(values.dtype).max if levels else planes).astype(np.float32)
    wrong = np.count_nonzero(~np.isfinite(planes))
    if wrong:
        raise ValueError(f"{wrong} of {planes.size} values are NaN or infinite", "fill them in")
    if len(planes) == 3:
        return planes
    if unit == RELATIVE:
        problem = "u and v alone, and without a common scale they have no strain"
        raise ValueError(problem, "give three channels, or set data.unit=px")
    return np.concatenate([planes, optical_strain(planes[None])])


def optical_strain(flow_px: Floats) -> Floats:
    """Magnitude of the infinitesimal strain tensor (Shreve et al. 2011): (B, 2, H, W) to (B, H, W).

    `e = sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2)` with central differences, so that a translation
    has none and a stretch by 1 % along one axis has .01.
    """
    u_y, u_x = np.gradient(flow_px[:, 0], axis=(1, 2))
    v_y, v_x = np.gradient(flow_px[:, 1], axis=(1, 2))
    return np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2).astype(np.float32)


def area_means(maps: Floats, size: int) -> Floats:
    """Averages over equal areas: (C, H, W) to (C, size, size)."""
    reduced = cv2.resize(maps.transpose(1, 2, 0), (size, size), interpolation=cv2.INTER_AREA)
    return reduced.reshape(size, size, -1).transpose(2, 0, 1).astype(np.float32)
