"""The published image models of the preset `base`, down to their bytes."""

from __future__ import annotations

from dataclasses import replace

from reference_model.networks.pretrained import PinnedModel

__all__ = ["DINOV2", "HAMER", "SAPIENS"]

DINOV2 = PinnedModel(
    repository="facebook/dinov2-with-registers-large",
    revision="e4c89a4e05589de9b3e188688a303d0f3c04d0f3",
    weights_sha256=None,
    architecture="dinov2_with_registers",
    files=("config.json",),
    megabytes=1217,
    licence="Apache-2.0",
    kind="image model",
    error_codes=("E303", "E304"),
)

SAPIENS = replace(
    DINOV2,
    repository="facebook/sapiens-pretrain-1b-torchscript",
    revision="main",
    architecture=None,
    files=(),
    megabytes=4680,
    licence="for non-commercial use, see its model card",
    weights_file="sapiens_1b_epoch_173_torchscript.pt2",
)
"""No public record of a commit or hash was found, so the branch is named and the first file's hash is recorded."""

HAMER = replace(
    SAPIENS,
    repository="geopavlakos/HaMeR",
    revision="aabc78ee4fd1f1ccf1a55fdd4225bf84df0e680a",
    weights_sha256="e5cc06f294d88a92dee24e603480aab04de532b49f0e08200804ee7d90e16f53",
    megabytes=2700,
    licence="code MIT, weights for research",
    weights_file="_DATA/hamer_ckpts/checkpoints/hamer.ckpt",
    repository_type="space",
)
"""The checkpoint of the authors' demonstration; several independent public repositories pin this hash."""
