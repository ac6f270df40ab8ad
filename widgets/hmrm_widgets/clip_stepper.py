"""Step through a clip: its frames, what was found in them, and the apex curve."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import ipywidgets as w

from hmrm_lab.faces.accuracy import clip_curve, reference_track
from hmrm_lab.faces.align import EXACT, FaceTrack, align_clip, crop_map, find_faces
from hmrm_lab.faces.apex import ApexCurve
from hmrm_lab.faces.face import Face, FaceProvider
from hmrm_lab.faces.landmarks import dense_landmarks
from hmrm_lab.records import Clip, LandmarkedFrames
from hmrm_lab.reporting.drawing import PART_COLOURS, Layer, face_picture, frame_picture, jpeg_bytes
from hmrm_lab.reporting.style import BLUE, GREEN, ORANGE, VERMILLION
from hmrm_lab.reporting.svg import Plot
from hmrm_widgets.parts import (
    Picture,
    choose_clip,
    control,
    named_clips,
    offer,
    plain,
    row,
    since_onset,
    tick,
    view,
)
from hmrm_widgets.viewer import Viewer

KEPT_TRACKS = 16  # found faces and their curves in memory
KEPT_PICTURES = 128  # of 30 kB
MOST_TICKS = 16
PLAY_MS = 250  # from frame to frame; a micro-expression is over too soon for the eye
HOW = {
    "none": "detected",
    "neighbour": "not detected; taken over from frame {}",
    "template": "not detected; the mean face",
}


class ClipStepper(Viewer):
    """Controls for clip, face provider and frame above the face and the apex curve.

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
        self.clip = choose_clip(titles)
        self.provider = control(w.Dropdown, "Faces by")
        self.frame = control(w.IntSlider, "Frame", width="26em")
        self.play = w.ToggleButton(description="Play", icon="play", layout=w.Layout(width="8em"))
        self.timer = w.Play(interval=PLAY_MS, repeat=True)  # its own buttons have no names
        self.timer.layout.display = "none"
        w.link((self.timer, "value"), (self.frame, "value"))
        w.link((self.timer, "playing"), (self.play, "value"))
        self.landmarks = tick("68 landmarks", True)
        self.parts, self.core, self.crop = map(tick, ("Parts", "Core regions", "Canonical crop"))
        self.face = Picture("The face at the chosen frame", "22rem", format="jpeg")
        self.curve = w.HTML(layout=view("29rem", margin="0 0 0 1rem"))
        self.caption = w.HTML()
        toggles = (self.landmarks, self.parts, self.core, self.crop)
        rows = [
            row(self.clip, self.provider),
            row(self.frame, self.play, self.timer, gap="1em"),
            row(*toggles, gap="2em"),
            row(self.face, self.curve),
            self.caption,
        ]
        views = {"face": self.face, "curve": self.curve, "caption": self.caption}
        super().__init__(rows, [self.clip, self.provider, self.frame, *toggles], views)

    def fit(self, changed: w.Widget | None) -> None:
        """Fit provider and frames to the chosen clip; it opens at its onset."""
        if changed is not None and changed is not self.clip:
            return
        clip = self._clips[self.clip.value]
        offer(self.provider, self._names(clip))
        for slider in (self.timer, self.frame):
            with slider.hold_trait_notifications():
                slider.min, slider.max, slider.value = clip.onset, clip.offset, clip.onset

    def render(self) -> Mapping[str, Any]:
        number, provider, frame = self.clip.value, self.provider.value, self.frame.value
        track, _, curve = self._found(number, provider)
        toggles: dict[Layer, w.Checkbox] = {
            "landmarks": self.landmarks,
            "parts": self.parts,
            "core": self.core,
        }
        layers = tuple(name for name, toggle in toggles.items() if toggle.value)
        return {
            "face": self._picture(number, provider, frame, layers, self.crop.value),
            "curve": curve_svg(curve, frame, self._clips[number].apex),
            "caption": self._words(track[frame]),
        }

    def _words(self, face: Face) -> str:
        clip, frame = self._clips[self.clip.value], self.frame.value
        words = [
            f"Frame {frame} (onset {clip.onset}, offset {clip.offset}):"
            f" {since_onset(clip, frame)} after the onset.",
            f"Face by {plain(face.provider)}: {HOW[face.fallback].format(face.from_frame)}."
            if face.provider != EXACT
            else "Landmarks that came with the clip.",
        ]
        if self.parts.value:
            words += [
                f"<span style='color:{colour}' aria-hidden='true'>&#9632;</span> {name}"
                for name, colour in PART_COLOURS.items()
            ]
        return " ".join(words)

    def _names(self, clip: Clip) -> list[str]:
        """What can find the faces of a clip."""
        exact = [EXACT] if isinstance(clip.frames, LandmarkedFrames) else []
        return [*exact, *self._providers]

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
        if crop:
            clip, points = cropped, crop_map(track[clip.onset]).points(points)
        return jpeg_bytes(face_picture(frame_picture(clip.frames, frame), points, layers))


def curve_svg(curve: ApexCurve, frame: int, annotated: int | None = None) -> str:
    """Draw an apex curve with the spotted apex, the annotated one if any, and the present frame."""
    first, last = int(curve.frames[0]), int(curve.frames[-1])
    top = float(curve.curve.max(initial=0)) or 1.0
    points = list(zip(curve.frames.tolist(), curve.curve.tolist(), strict=True))
    every = -(-(last - first + 1) // MOST_TICKS)
    plot = Plot((460, 200), (34, 12, 42, 38), (first, last, 0, top))
    frames = [(n, str(n)) for n in range(first, last + 1, every)]
    plot.axes("frame", frames, [(top, f"{top:.1f}"), (0, "0")])
    marks = [(f"spotted apex {curve.apex}", curve.apex, VERMILLION, "6 4")]
    if annotated is not None:
        marks.append((f"annotated apex {annotated}", annotated, GREEN, ""))
    for _, place, colour, dashes in marks:
        plot.line((plot.x(place), plot.top, plot.x(place), plot.floor), colour, 2, dashes)
    plot.curves([points], BLUE, 2)
    plot.dot(plot.x(frame), plot.y(dict(points).get(frame, 0.0)), 6, ORANGE)
    legend = [(f"frame {frame}", ORANGE), *((words, colour) for words, _, colour, _ in marks)]
    plot.legend(legend, 130)
    return plot.svg(", ".join(["Apex curve", *(words for words, _ in legend)]))
