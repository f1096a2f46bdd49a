"""`pose_driven`: the same avatars, moved by blendshapes and joints that are predicted from the sound.

What the paper's table compares against is a chain of speech to pose and pose to avatar; this is that chain with our
own parts, so that the difference to `ours` is the deformer alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from baselines.ours import PERSONALISATION, AvatarMethod
from benchmark.contract import MethodSpec

if TYPE_CHECKING:
    from baselines.pose_driven_network import PoseDrivenAnimator
    from reference_model.avatar.io import Avatar

__all__ = ["SPEC", "PoseDriven"]

SPEC = MethodSpec(
    id="pose_driven",
    version="1",
    title="The same avatar, driven by a predicted pose: blendshapes and linear blend skinning",
    licence="Apache-2.0",
    factory="baselines.pose_driven:PoseDriven",
    sources=(
        "baselines/ours.py",
        "baselines/pose_driven.py",
        "baselines/pose_driven_network.py",
        "baselines/weights",
        "reference_model/animate.py",
        "reference_model/compiled.py",
        "reference_model/cuda_graph.py",
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
)


class PoseDriven(AvatarMethod):
    """A predicted pose drives the avatar."""

    def __init__(self, device: str) -> None:
        from baselines.pose_driven_network import load_network

        del device
        self._network = (
            load_network()
        )  # now, so that missing weights are found before a minute of personalisation

    def animator(self, avatar: Avatar) -> PoseDrivenAnimator:
        """The rival's animator with the weights that ship."""
        from baselines.pose_driven_network import PoseDrivenAnimator

        return PoseDrivenAnimator(avatar, self._network)
