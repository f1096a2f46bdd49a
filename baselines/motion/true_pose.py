"""The pose of a sample's true video, tracked by our own detectors and body template: the motion of the oracle rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from media.errors import AvatarBenchError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.contract import GroundTruth, Sample
    from reference_model.body.skinning import BodyState
    from reference_model.photo.fitting import Fit
    from reference_model.render.camera import Camera
    from reference_model.tracking.fit import BodyTrack

__all__ = ["TRACKING_SOURCES", "fit_reference", "track_truth"]

TRACKING_SOURCES = (
    "baselines/controls.py",
    "baselines/motion/true_pose.py",
    "media",
    "reference_model/body",
    "reference_model/cuda_graph.py",
    "reference_model/photo",
    "reference_model/render/camera.py",
    "reference_model/tracking",
)
"""What decides the tracked pose of a true video."""

_MISSING = 0.2
"""Share of the frames that may lack a person; the fit goes on smoothly through these."""


def fit_reference(picture: Path) -> Fit:
    """Body and camera of a reference picture, as an avatar of it has them.

    Raises:
        AvatarBenchError: E102 nobody there, E103 no face, E104 picture too small.
    """
    from media.image import load_image
    from media.landmarks import detect_person
    from media.matte import refine_matte
    from media.threads import one_torch_thread
    from reference_model.photo.fitting import fit_body

    image = load_image(picture)
    landmarks = detect_person(image)
    alpha = refine_matte(image, landmarks.mask)
    with one_torch_thread():
        return fit_body(landmarks, (image.shape[1], image.shape[0]), alpha)


def track_truth(sample: Sample, ground_truth: GroundTruth, state: BodyState, camera: Camera) -> BodyTrack:
    """Follow the person of the true video on the body of their reference picture.

    Args:
        sample: The clip; its reference picture is the first frame of the video.
        ground_truth: Where the video is.
        state: The body as fitted to the reference picture.
        camera: Of the reference picture.

    Raises:
        AvatarBenchError: E746, the person is not in the first frame or is missing too often.
    """
    from baselines.controls import true_pictures
    from reference_model.body.template import load_template
    from reference_model.tracking.fit import fit_track
    from reference_model.tracking.observations import follow, gather

    template = load_template()
    seen = follow(true_pictures(sample, ground_truth))
    missing = [i for i, person in enumerate(seen) if person is None]
    if missing[:1] == [0] or len(missing) > _MISSING * len(seen):
        raise AvatarBenchError(
            "E746",
            f"the person of the true video of '{sample.sample_id}' could not be followed",
            where=ground_truth.clip.media,
            expected=f"a body in the first frame and in {1 - _MISSING:.0%} of all frames",
            got=f"none in {len(missing)} of {len(seen)} frames, the first of them frame {missing[0]}",
            fix="leave the rows of the true pose out for this clip",
        )
    observations = gather(template, seen, sample.width, sample.height)
    return fit_track(template, observations, state, camera.resized(sample.width, sample.height))
