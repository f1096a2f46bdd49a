"""Every file of weights that the metrics of `paper-v1` need: name, size, licence, source, revision, SHA-256.

Hosts stand here as data only; `benchmark.fetching` is the one place that contacts them.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WEIGHTS", "Archive", "Weight"]


@dataclass(frozen=True, slots=True)
class Archive:
    """The zip at a weight's URL, when the weight is a file inside it."""

    bytes: int
    sha256: str
    member: str
    """Name of the file inside the zip."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One file of weights, or one folder of files that belong together.

    Sizes and hashes are those of the published files as stated by at least three independent public repositories.
    `None` means that none is known: `bench weights fetch` then records what it got at the first fetch, in `lock.json`
    of the cache, and everything later is compared with that.
    """

    id: str
    purpose: str
    """What the metrics use it for."""
    file: str
    """Path below an offline folder, a mirror or the cache; a folder where `parts` are named."""
    bytes: int | None
    sha256: str | None
    licence: str
    url: str
    """Where its authors or packagers publish it; for a folder, the URL that the parts stand below."""
    revision: str | None
    """Release tag or commit; None where the source has none."""
    archive: Archive | None = None
    parts: tuple[str, ...] = ()
    """File names, when the weight is a folder."""

    @property
    def names(self) -> tuple[str, ...]:
        """The paths of all its files below a folder of weights."""
        return tuple(f"{self.file}/{part}" for part in self.parts) or (self.file,)


_VGG = "Creative Commons Attribution, for research (VGG page)"
_BUFFALO = "https://github.com/deepinsight/insightface/releases/download/model-zoo/buffalo_l.zip"
_BUFFALO_LICENCE = "non-commercial research only (insightface)"
_BUFFALO_BYTES = 288_621_354
_BUFFALO_SHA256 = "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f"

_ALL = (
    Weight(
        id="syncnet_v2",
        purpose="SyncC, SyncD, offset",
        file="syncnet_v2.model",
        bytes=54_573_114,
        sha256="961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
        licence=_VGG,
        url="http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
        revision=None,
    ),
    Weight(
        id="s3fd",
        purpose="faces for SyncNet",
        file="sfd_face.pth",
        bytes=89_844_381,
        sha256="d54a87c2b7543b64729c9a25eafd188da15fd3f6e02f0ecec76ae1b30d86c491",
        licence=_VGG,
        url="https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/sfd_face.pth",
        revision=None,
    ),
    Weight(
        id="inception_fid",
        purpose="FID, KID",
        file="weights-inception-2015-12-05-6726825d.pth",
        bytes=95_628_359,
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        licence="Apache-2.0",
        url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
        "weights-inception-2015-12-05-6726825d.pth",
        revision="v0.2.0",
    ),
    Weight(
        id="i3d_kinetics400",
        purpose="FVD, KVD",
        file="i3d_torchscript.pt",
        bytes=51_235_320,
        sha256="bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
        licence="not stated with the file; its origin, kinetics-i3d, is Apache-2.0",
        url="https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt?dl=1",
        revision=None,
    ),
    Weight(
        id="buffalo_l_detection",
        purpose="faces for CSIM (SCRFD-10G)",
        file="buffalo_l/det_10g.onnx",
        bytes=16_923_827,
        sha256="5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91",
        licence=_BUFFALO_LICENCE,
        url=_BUFFALO,
        revision="model-zoo",
        archive=Archive(_BUFFALO_BYTES, _BUFFALO_SHA256, "det_10g.onnx"),
    ),
    Weight(
        id="buffalo_l_recognition",
        purpose="identity for CSIM (ArcFace R50)",
        file="buffalo_l/w600k_r50.onnx",
        bytes=174_383_860,
        sha256="4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
        licence=_BUFFALO_LICENCE,
        url=_BUFFALO,
        revision="model-zoo",
        archive=Archive(_BUFFALO_BYTES, _BUFFALO_SHA256, "w600k_r50.onnx"),
    ),
    Weight(
        id="one_align",
        purpose="IQA, ASE (Q-Align)",
        file="one_align",
        bytes=None,  # 8,197,859,328 parameters in 16 bits: about 16.4 GB
        sha256=None,
        licence="S-Lab 1.0, non-commercial (Q-Align); LLaMA-2 terms on top",
        url="https://huggingface.co/q-future/one-align/resolve/dcc603b95aa0ebd82afa696d4a1e20d11fc80ddb",
        revision="dcc603b95aa0ebd82afa696d4a1e20d11fc80ddb",  # as pinned by four independent repositories
        # What loading and scoring read. Shard names follow from 16.4 GB in shards of 10 GB; nobody here has seen them.
        parts=(
            "config.json",
            "preprocessor_config.json",
            "pytorch_model-00001-of-00002.bin",
            "pytorch_model-00002-of-00002.bin",
            "pytorch_model.bin.index.json",
            "tokenizer.model",
            "tokenizer_config.json",
        ),
    ),
)

WEIGHTS: dict[str, Weight] = {weight.id: weight for weight in _ALL}
"""Every file of weights that a metric may ask for, by id."""
