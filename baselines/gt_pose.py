"""`ours+gt_pose`: the avatars of `ours`, moved by the pose of the true video instead of the sound.

The paper compares methods under "the same motion for all methods"; this row and `lhm+gt_pose`, `persona+gt_pose` are
that comparison. The pose is that of `pose_driven`, 52 facial actions and the joints' rotations, but tracked and not
predicted. It sees the truth, so it is an oracle: it shows what avatar and renderer can do when motion is no question.
Gaze is not tracked, and what the tracker smooths away is missing.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from baselines.motion.true_pose import TRACKING_SOURCES
from baselines.ours import PERSONALISATION
from benchmark.contract import Generation, GroundTruth, Identity, MethodSpec, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from reference_model.avatar.io import Avatar
    from reference_model.render.camera import Camera
    from reference_model.tracking.fit import BodyTrack

__all__ = ["SPEC", "TRACKING_SOURCES", "OursGtPose"]

SPEC = MethodSpec(
    id="ours+gt_pose",
    version="1",
    title="The avatars of ours, driven by the pose of the true video",
    licence="Apache-2.0",
    factory="baselines.gt_pose:OursGtPose",
    sources=(
        *TRACKING_SOURCES,
        "baselines/gt_pose.py",
        "baselines/ours.py",
        "baselines/pose_driven_network.py",
        "reference_model/animate.py",
        "reference_model/compiled.py",
        "reference_model/cuda_kernels.py",
        "reference_model/deform.py",
        "reference_model/deform_cuda.py",
        "reference_model/deform_kernels.py",
        "reference_model/deform_torch.py",
        "reference_model/frame_view.py",
        "reference_model/innovations.py",
        "reference_model/networks",
        "reference_model/sound_stream.py",
        "reference_model/steady_state.py",
        "reference_model/stretch.py",
    ),
    preparation=PERSONALISATION,
    privileged=True,
)


class OursGtPose:
    """The true pose drives the avatar by blendshapes and linear blend skinning."""

    def __init__(self, device: str) -> None:
        del device  # everything is on the CPU

    def prepare(self, identity: Identity, prepared: Path) -> None:
        """The same avatar as that of `ours`."""
        from baselines.ours import prepare_avatar

        prepare_avatar(identity, prepared)

    def generate(self, sample: Sample, ground_truth: GroundTruth, prepared: Path, out: Path) -> Generation:
        """Track the true video and pose the avatar frame by frame."""
        from baselines.motion.true_pose import track_truth
        from baselines.ours import prepared_avatar
        from media.audio import load_audio
        from media.video import write_video

        avatar = prepared_avatar(prepared)
        begin = time.perf_counter()
        track = track_truth(sample, ground_truth, avatar.state, avatar.camera)
        tracking_s = time.perf_counter() - begin
        camera = avatar.camera.resized(sample.width, sample.height)
        write_video(out, posed_pictures(avatar, track, camera), sample.fps, audio=load_audio(sample.audio))
        return Generation(out, timings_s={"track": tracking_s})


def posed_pictures(avatar: Avatar, track: BodyTrack, camera: Camera) -> Iterator[np.ndarray]:
    """The avatar in each pose of a track, [H, W, 3] uint8 each, over the photo's background."""
    from dataclasses import replace

    from baselines.pose_driven_network import BlendshapeRig, Pose
    from media.threads import one_torch_thread
    from reference_model.animate import FrameView

    rig, view = BlendshapeRig(avatar), FrameView(avatar, camera)
    for actions, turns, shift in zip(track.actions, track.turns, track.shift, strict=True):
        with one_torch_thread():
            posed = rig.apply(Pose(actions - avatar.state.actions, turns))
            frame = view.draw(replace(posed, means=posed.means + shift))
        yield frame.rgb
