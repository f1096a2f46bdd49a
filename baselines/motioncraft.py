"""MotionCraft: speech and words to a motion of the SMPL-X body. No row of its own: it drives those that need a motion.

Written from `tools/s2g_visualize.py` of the pinned commit; what is written for it stands in `baselines/motion`.
"""

from __future__ import annotations

from baselines.external.declaration import (
    Licence,
    Limit,
    Output,
    Requirement,
    Rule,
    Stage,
    Tool,
    Value,
    Weight,
)

__all__ = ["PARAMETERS", "STAGE", "TOOL"]

_CONFIG = "configs/stmogen/S2G_Beats2_no_face_loss_025b.py"
_CHECKPOINT = "outputs/S2G_t2m_no_face_loss_l8_latentdim128_ffsize512/epoch_24.pth"
_SETTINGS = "mogen/datasets/EMAGE_2024/configs/emage_test_stmogen.yaml"
_BEAT2 = "data/datasets/beats2/PantoMatrix"

TOOL = Tool(
    id="motioncraft",
    title="MotionCraft",
    repository="cure-lab/MotionCraft",
    commit="347250638c44daaf5f7ade66e3eaeee9202741a0",
    paper="arxiv.org/abs/2407.21136",
    licence=Licence(
        "Apache-2.0",
        "not stated with the weights",
        "BEAT2 and SMPL-X, whose files it reads, have non-commercial terms of their own.",
    ),
    requirement=Requirement(
        "3.9",
        (
            "torch==1.12.1",
            "torchvision==0.13.1",
            "mmcv-full>=1.4.2,<=1.9.0",
            "numpy==1.23.2",
            "pyarrow==4.0.0",
        ),
        "not stated; CUDA 11.3 has no kernels for Hopper, where torch must be newer",
    ),
    files=("tools/s2g_visualize.py", _CONFIG, _SETTINGS),
    weights=(
        Weight(_CHECKPOINT, "the Google Drive folder of its README"),
        Weight(f"{_BEAT2}/mean.npy", "its own data/datasets/beats2, copied there"),
        Weight(f"{_BEAT2}/std.npy", "its own data/datasets/beats2, copied there"),
        Weight(
            f"{_BEAT2}/EMAGE/smplx_models/smplx/SMPLX_NEUTRAL_2020.npz", "the BEAT2 release (PantoMatrix)"
        ),
        Weight(f"{_BEAT2}/EMAGE/test_sequences/weights/vocab.pkl", "the BEAT2 release (PantoMatrix)"),
    ),
    environment=(("PYTHONPATH", "."),),
    faults=(
        Rule(
            r"/workspace/user_code/STMoGen",
            "E703",
            "read a file of its authors' machine",
            "start it through the driver of this package, as the stage does: please report it.",
        ),
        Rule(
            r"has no attribute 'serialize'", "E706", "needs an older pyarrow", "install pyarrow 4.0.0 there."
        ),
    ),
)

PARAMETERS: tuple[tuple[str, Value], ...] = (
    ("pre_frames", 4),  # 16 makes the windows agree with their overlap, 4 is published
    ("textgrids", ""),  # folder of forced alignments; "" spreads the words over the sound
)

STAGE = Stage(
    id="motioncraft",
    scope="sample",
    parameters=tuple(name for name, _ in PARAMETERS),
    write="baselines.motion.motioncraft:write_sequence",
    tool=TOOL,
    command=(
        "python",
        "{inputs}/driver.py",
        "{seed}",
        f"./{_CONFIG}",
        f"./{_CHECKPOINT}",
        "--beats2_args",
        "{inputs}/args.yaml",
        "--out",
        "{inputs}/out/",  # joined as a string there
        "--device",
        "cuda",
        "--repaint",
        "--overlap_len",
        "16",
        "--timestep_respacing",
        "ddim25",
    ),
    # The motion is written before a film of it is drawn, which needs OSMesa and may fail.
    crash_after_output=True,
    outputs=(Output("motion.npz", "{inputs}/out/*_res_{run}.npz"),),
    sources=("baselines/motion", "baselines/motioncraft.py"),
    limit=Limit(900, 30),
)
"""Makes `motion.npz` of the sample's sound and words; two rows with equal parameters share it."""
