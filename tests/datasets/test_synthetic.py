"""The procedural data set: who is in it, that its truth is true, and that it survives the disk."""

from collections import Counter

import cv2
import numpy as np
import pytest

from hmrm_lab.datasets.classes import MEGC3, UNITS, ClassScheme, scheme, scheme_names
from hmrm_lab.datasets.synthetic import DRAWING, RenderedFrames, synthetic
from hmrm_lab.errors import ConfigError
from hmrm_lab.records import Clip

SMALL = {"subjects": 2, "clips": 6, "frames": 12}


def rendered(clip: Clip) -> RenderedFrames:
    assert isinstance(clip.frames, RenderedFrames)
    return clip.frames


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return synthetic(**SMALL)


def test_counts_follow_the_composite() -> None:
    for subjects, classes in {24: [88, 39, 29], 68: [250, 109, 83], 5: [3, 1, 1]}.items():
        made = synthetic(subjects=subjects, clips=sum(classes))
        per_class = Counter(clip.label for clip in made)
        assert [per_class[label] for label in range(3)] == classes
        assert len({clip.key.subject for clip in made}) == subjects
        assert len({clip.key for clip in made}) == len(made)
    (large,) = [clip for clip in synthetic(subjects=3) if clip.key.clip == "s02_neg_05"]
    assert len(large.frames[10]) == 224, "a large movement takes 44 iterations"


def test_every_scheme_has_its_classes_on_two_faces_and_units_that_move() -> None:
    published = Counter(happiness=32, surprise=25, disgust=63, repression=27, others=99)
    made = synthetic(scheme=scheme("casme2-5"), clips=published.total())
    assert Counter(clip.expression for clip in made) == published
    for kind in map(scheme, scheme_names()):
        for difficulty in (0.0, 0.9):
            clips = synthetic(scheme=kind, subjects=4, clips=16, difficulty=difficulty)
            assert len({clip.key for clip in clips}) == 16
            faces = Counter(label for label, _ in {(c.label, c.key.subject) for c in clips})
            least = 2 if kind != MEGC3 else 0
            assert min(faces[label] for label in range(len(kind.classes))) >= least, kind.name
            for clip in clips:
                own = rendered(clip).script.units
                word = "+".join(own) if kind.read == UNITS else clip.emotion
                assert kind.label(word, "synthetic") == clip.label
                assert clip.action_units[: len(own)] == own
                assert difficulty or clip.action_units == own
        assert any(len(c.action_units) > len(rendered(c).script.units) for c in clips)
    pain = ClassScheme("mine", ("pain", "rest"), {"happiness": "rest", "pain": "pain"})
    for wrong, told in (
        ({"scheme": pain}, "pain of 'mine'"),
        ({"clips": 9, "subjects": 2}, "9 clips"),
    ):
        with pytest.raises(ConfigError, match=told):
            synthetic(**{"scheme": scheme("casme2-5")} | wrong)


def test_clips_are_named_like_recordings_and_come_from_their_seed(clips: list[Clip]) -> None:
    for clip in clips:
        assert clip.key.dataset == "synthetic"
        assert clip.key.clip.startswith(f"{clip.key.subject}_{MEGC3.classes[clip.label][:3]}_")
        assert 0 <= clip.onset < clip.apex < clip.offset < len(clip.frames) == 12
    again, other = synthetic(**SMALL), synthetic(**SMALL, seed=1)
    assert [clip.key for clip in again] == [clip.key for clip in clips]
    np.testing.assert_array_equal(again[3].frames[5], clips[3].frames[5])
    assert (other[3].frames[5] != clips[3].frames[5]).mean() > 0.5


# by version: mean and deviation of the onset frames, mean difference to the apex, mean flow
DRAWN = {1: [97.995, 48.751, 4.132, 0.490]}


def test_what_is_drawn_belongs_to_the_version_of_the_drawing(clips: list[Clip]) -> None:
    """If this fails, raise DRAWING, which names the caches, and pin the new figures here."""
    figures = []
    for clip in clips:
        onset, apex = (clip.frames[n].astype(float) for n in (clip.onset, clip.apex))
        flow = rendered(clip).flow(clip.onset, clip.apex)
        figures.append([onset.mean(), onset.std(), abs(apex - onset).mean(), abs(flow).mean()])
    np.testing.assert_allclose(np.mean(figures, axis=0), DRAWN[DRAWING], atol=0.001)


def test_blinks_close_the_eyes_of_some_clips_and_leave_the_others() -> None:
    plain, blinking = synthetic(**SMALL), synthetic(**SMALL, blink_every=3)
    for number, (open_, clip) in enumerate(zip(plain, blinking, strict=True)):
        frames, lids = rendered(clip), rendered(clip).script.motion.lids
        assert (lids is not None) == (number % 3 == 0)
        if lids is None:
            np.testing.assert_array_equal(clip.frames[5], open_.frames[5])
            continue
        shut = int(lids.closing.argmax())
        assert clip.onset - 1 <= shut <= clip.offset + 1
        points, before = frames.landmarks(shut), rendered(open_).landmarks(shut)
        for eye in ([37, 41], [44, 46]):
            assert np.ptp(points[eye, 1]) < 0.4 * np.ptp(before[eye, 1])
        assert np.abs(frames.clean(shut) - rendered(open_).clean(shut))[150:].mean() < 0.2


def test_frames_are_the_same_whatever_was_read_before(clips: list[Clip]) -> None:
    forwards = [clips[0].frames[k] for k in range(4)]
    backwards = [clips[0].frames[k] for k in (3, 2, 1, 0)]
    np.testing.assert_array_equal(forwards, backwards[::-1])
    np.testing.assert_array_equal(clips[0].frames[-1], clips[0].frames[11])
    with pytest.raises(IndexError):
        clips[0].frames[12]


def test_flow_leads_from_each_pixel_to_its_match() -> None:
    """The apex, fetched back along the exact flow, is the onset up to interpolation."""
    for clip in (*synthetic(**SMALL, difficulty=0.0), *synthetic(**SMALL, difficulty=1.0)):
        frames = rendered(clip)
        onset = frames.clean(clip.onset) / frames.script.gain[clip.onset]
        apex = frames.clean(clip.apex) / frames.script.gain[clip.apex]
        flow = frames.flow(clip.onset, clip.apex)
        rows, columns = np.mgrid[:224, :224].astype(np.float32)
        back = cv2.remap(apex, columns + flow[0], rows + flow[1], cv2.INTER_CUBIC)
        still, moved = np.abs(apex - onset), np.abs(back - onset)
        assert moved[8:-8, 8:-8].mean() < 0.45 * still[8:-8, 8:-8].mean()


def test_flow_agrees_with_the_landmarks() -> None:
    for clip in synthetic(**SMALL, difficulty=1.0):
        frames = rendered(clip)
        for source, target in ((clip.onset, clip.apex), (clip.apex, clip.offset)):
            start, end = frames.landmarks(source), frames.landmarks(target)
            where = start[None].astype(np.float32)
            for part, step in zip(frames.flow(source, target), (end - start).T, strict=True):
                sampled = cv2.remap(part, where, None, cv2.INTER_LINEAR)[0]
                np.testing.assert_allclose(sampled, step, atol=0.02)
            assert np.abs(end - start).max() > 0.1


def test_difficulty_weakens_movements_and_adds_noise() -> None:
    grades = [synthetic(**SMALL, difficulty=value) for value in (0.0, 0.5, 1.0)]
    for easy, middle, hard in zip(*grades, strict=True):
        scripts = [rendered(clip).script for clip in (easy, middle, hard)]
        assert 3.0 >= scripts[0].peak_px > scripts[1].peak_px > scripts[2].peak_px >= 0.5
        assert scripts[0].noise_level < scripts[1].noise_level < scripts[2].noise_level
        assert (easy.onset, easy.apex, easy.offset) == (hard.onset, hard.apex, hard.offset)


def test_classes_move_what_their_units_name() -> None:
    """Brows fall or rise and lip corners rise, as the mean over easy clips of a class."""
    moves: dict[int, list[np.ndarray]] = {0: [], 1: [], 2: []}
    for clip in synthetic(subjects=6, clips=60, difficulty=0.0):
        frames = rendered(clip)
        step = frames.landmarks(clip.apex) - frames.landmarks(clip.onset)
        moves[clip.label].append(step - step[27:31].mean(axis=0))
    negative, positive, surprise = (np.mean(moves[label], axis=0) for label in range(3))
    assert negative[[20, 21, 22, 23], 1].mean() > 0.2
    assert positive[[48, 54], 1].mean() < -0.4
    assert surprise[17:27, 1].mean() < -0.5
    samm = synthetic(scheme=scheme("samm-5"), difficulty=0.0)
    frames, clip = next((rendered(c), c) for c in samm if c.action_units == ("L14",))
    moved = np.abs(frames.flow(clip.onset, clip.apex))[:, 150:190].sum(axis=0)
    assert moved[:, 112:].max() > 2 * moved[:, :112].max(), "the left is on the right of the image"


def test_values_out_of_range_are_refused() -> None:
    wrong = {"difficulty": 1.1, "subjects": 1, "clips": 23, "frames": 11, "seed": -1}
    for name, value in (*wrong.items(), ("difficulty", float("nan")), ("blink_every", -1)):
        with pytest.raises(ConfigError, match=name):
            synthetic(**{name: value})  # type: ignore[arg-type]
