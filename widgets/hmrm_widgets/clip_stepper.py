"""Step through a clip: its frames, what was found in them, and the apex curve."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import ipywidgets as w

from hmrm_lab.faces.accuracy import clip_curve, reference_track
from hmrm_lab.faces.align import EXACT, FaceTrack, align_clip, crop_map, find_faces
from hmrm_lab.faces.apex import ApexCurve
from hmrm_lab.faces.face import Face, FaceProvider
from hmrm_lab.faces.landmarks import dense_landmarks
from hmrm_lab.records import Clip, LandmarkedFrames
from hmrm_lab.reporting.drawing import PART_COLOURS, Layer, face_picture, jpeg_bytes
from hmrm_lab.reporting.svg import curve_svg
from hmrm_widgets.accessible import Picture
from hmrm_widgets.parts import named_clips, plain, row, since_onset
from hmrm_widgets.viewer import Viewer

KEPT_TRACKS = 16  # found faces and their curves in memory
KEPT_PICTURES = 128  # of 30 kB
PLAY_MS = 250  # from frame to frame; a micro-expression is over too soon for the eye
WIDE = {"description_width": "8em"}
HOW = {
    "none": "detected",
    "neighbour": "not detected; taken over from frame {}",
    "template": "not detected; the mean face",
}


class Views(NamedTuple):
    face: bytes
    curve: str
    caption: str


class ClipStepper(Viewer):
    """Controls for clip, face provider and frame above the face and the apex curve.

    The face is a picture in `ipywidgets.Image` and the curve a small SVG: a redraw sends no
    figure state and leaves nothing of size in a saved notebook.

    Parameters
    ----------
    clips
        The clips to choose from, one at least; or clips by the names to show.
    providers
        What finds faces, by the names to show. The exact landmarks are offered as well where a
        clip brings them.

    Raises
    ------
    ValueError
        If there is no clip, or neither exact landmarks nor a provider for one of them.
    """

    def __init__(
        self,
        clips: Sequence[Clip] | Mapping[str, Clip],
        providers: Mapping[str, FaceProvider] | None = None,
    ) -> None:
        titles, self._clips = named_clips(clips)
        self._providers = dict(providers or {})
        if not self._clips or any(not self._names(clip) for clip in self._clips):
            raise ValueError("the stepper needs a clip, and a face provider where it has no faces")
        self._found = lru_cache(KEPT_TRACKS)(self._find)
        self._picture = lru_cache(KEPT_PICTURES)(self._draw)
        self.clip = w.Dropdown(
            options=[(name, number) for number, name in enumerate(titles)],
            description="Clip",
            style=WIDE,
            layout=w.Layout(width="26em"),
        )
        self.provider = w.Dropdown(description="Faces by", style=WIDE)
        self.frame = w.IntSlider(
            description="Frame", style=WIDE, layout=w.Layout(width="26em", max_width="100%")
        )
        self.play = w.ToggleButton(description="Play", icon="play", layout=w.Layout(width="8em"))
        self.timer = w.Play(interval=PLAY_MS, repeat=True)  # its own buttons have no names
        self.timer.layout.display = "none"
        w.link((self.timer, "value"), (self.frame, "value"))
        w.link((self.timer, "playing"), (self.play, "value"))
        self.landmarks, self.parts, self.core, self.crop = (
            w.Checkbox(value=on, description=words, indent=False, layout=w.Layout(width="auto"))
            for on, words in (
                (True, "68 landmarks"),
                (False, "Parts"),
                (False, "Core regions"),
                (False, "Canonical crop"),
            )
        )
        self.face = Picture("The face at the chosen frame", format="jpeg")
        self.face.layout = w.Layout(width="22rem", max_width="100%", object_fit="contain")
        self.curve = w.HTML(layout=w.Layout(width="29rem", max_width="100%", margin="0 0 0 1rem"))
        self.caption = w.HTML()
        rows = [
            row(self.clip, self.provider),
            row(self.frame, self.play, self.timer, gap="1em"),
            row(*self._toggles(), gap="2em"),
            row(self.face, self.curve),
            self.caption,
        ]
        super().__init__(rows, [self.clip, self.provider, self.frame, *self._toggles()])

    def fit(self, changed: w.Widget | None) -> None:
        """Fit provider and frames to the chosen clip; it opens at its onset."""
        if changed is not None and changed is not self.clip:
            return
        clip = self._chosen()
        names, before = self._names(clip), self.provider.value
        self.provider.options = names
        self.provider.value = before if before in names else names[0]
        for control in (self.timer, self.frame):
            with control.hold_trait_notifications():
                control.min, control.max = clip.onset, clip.offset
                control.value = clip.onset

    def render(self) -> Views:
        number, provider, frame = self.clip.value, self.provider.value, self.frame.value
        track, _, curve = self._found(number, provider)
        names: tuple[Layer, ...] = ("landmarks", "parts", "core")
        toggles = (self.landmarks, self.parts, self.core)
        layers = tuple(name for name, on in zip(names, toggles, strict=True) if on.value)
        face = self._picture(number, provider, frame, layers, self.crop.value)
        svg = curve_svg(curve, frame, self._chosen().apex)
        return Views(face, svg, self._words(track[frame]))

    def show(self, views: Views | None) -> None:
        self.face.value, self.curve.value, self.caption.value = views or Views(b"", "", "")

    def _words(self, face: Face) -> str:
        clip, frame = self._chosen(), self.frame.value
        words = [
            f"Frame {frame} (onset {clip.onset}, offset {clip.offset}):"
            f" {since_onset(clip, frame)} after the onset.",
            f"Face by {plain(face.provider)}: {HOW[face.fallback].format(face.from_frame)}."
            if face.provider != EXACT
            else "Landmarks that came with the clip.",
        ]
        if self.parts.value:
            words += [f"{_swatch(colour)} {name}" for name, colour in PART_COLOURS.items()]
        return " ".join(words)

    def _names(self, clip: Clip) -> list[str]:
        """What can find the faces of a clip."""
        exact = [EXACT] if isinstance(clip.frames, LandmarkedFrames) else []
        return [*exact, *self._providers]

    def _chosen(self) -> Clip:
        return self._clips[self.clip.value]

    def _toggles(self) -> tuple[w.Checkbox, ...]:
        return self.landmarks, self.parts, self.core, self.crop

    def _find(self, number: int, provider: str) -> tuple[FaceTrack, Clip, ApexCurve]:
        """The faces from onset to offset, the clip cut out by them, and its curve."""
        clip = self._clips[number]
        numbers = range(clip.onset, clip.offset + 1)
        track = (
            reference_track(clip)
            if provider == EXACT
            else find_faces(clip.frames, self._providers[provider], only=numbers)
        )
        return track, align_clip(clip, track), clip_curve(clip, track)

    def _draw(
        self, number: int, provider: str, frame: int, layers: tuple[Layer, ...], crop: bool
    ) -> bytes:
        """A frame, whole or cut out, with what was found in it drawn over: a JPEG."""
        clip = self._clips[number]
        track, cropped, _ = self._found(number, provider)
        points = dense_landmarks(track[frame])
        if not crop:
            return jpeg_bytes(face_picture(clip.frames[frame], points, layers))
        points = crop_map(track[clip.onset]).points(points)
        return jpeg_bytes(face_picture(cropped.frames[frame], points, layers))


def _swatch(colour: str) -> str:
    return f"<span style='color:{colour}' aria-hidden='true'>&#9632;</span>"
