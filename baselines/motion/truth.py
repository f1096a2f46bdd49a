"""The Python steps of the oracle rows: the pose of the true video as the motion that drives LHM and PERSONA."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from baselines.motion import lhm, persona
from baselines.motion.smplx_motion import SmplxMotion, read_motion_npz
from media.errors import AvatarBenchError

if TYPE_CHECKING:
    from baselines.external.declaration import Job
    from baselines.motion.layout import SmplxModel

__all__ = ["write_lhm_motion", "write_persona_motion"]


def write_lhm_motion(job: Job) -> None:
    """The true motion, anchored where LHM's tracker sees the reference picture."""
    motion = _true_motion(job, lhm.smplx_model(job))
    lhm.write_anchored(job, motion, lhm.lhm_anchor(job))


def write_persona_motion(job: Job) -> None:
    """The true motion, anchored where PERSONA's preprocessing sees the reference picture."""
    model = persona.smplx_model(job)
    persona.write_anchored(job, _true_motion(job, model), persona.persona_anchor(job), model)


def _true_motion(job: Job, model: SmplxModel) -> SmplxMotion:
    """The user's own track of the clip where the parameter `smplx_tracks` names a folder; else ours, converted.

    Raises:
        AvatarBenchError: E741, no track of this clip in the user's folder, or not one; E742, too short; E746, the
            person could not be followed.
    """
    sample, folder = job.clip, str(job.parameters["smplx_tracks"])
    if folder:
        return _users_track(Path(folder).expanduser() / f"{sample.sample_id}.npz", job, model)

    from baselines.motion.retarget import smplx_of_track
    from baselines.motion.true_pose import fit_reference, track_truth
    from reference_model.body.template import load_template

    assert job.ground_truth is not None, "a stage of the scope 'truth' sees the true video"
    fit = fit_reference(sample.reference_image)
    track = track_truth(sample, job.ground_truth, fit.state, fit.camera)
    return smplx_of_track(load_template(), track, fit.state, model, sample.fps)


def _users_track(path: Path, job: Job, model: SmplxModel) -> SmplxMotion:
    if not path.is_file():
        raise AvatarBenchError(
            "E741",
            f"smplx_tracks has no track of the clip '{job.clip.sample_id}'",
            where=path,
            expected="an .npz with poses [T, 165], trans [T, 3], expressions [T, E] and mocap_frame_rate",
            fix="track this clip, too, or leave smplx_tracks empty for our own tracker",
        )
    return read_motion_npz(path, model.hand_mean).resampled(job.clip.fps, job.clip.n_frames)
