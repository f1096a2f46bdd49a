"""Starts MotionCraft's `tools/s2g_visualize.py` with a seed; run by MotionCraft's own Python in its checkout.

    python driver.py SEED CONFIG CHECKPOINT --beats2_args ARGS.yaml --out OUT/ ...

The published script has no seed, and building its model reads a file of its authors' machine that the repository lacks
(`mogen/models/utils/vis.py`). The array in it, joints of the neutral body, is never used for inference; where the
file is missing zeros of its shape are handed out and that is said on the error stream. Python 3.9, numpy and torch.
"""

import os
import random
import runpy
import sys

import numpy as np

MISSING = "/workspace/user_code/STMoGen/mogen/models/utils/smplx_neu_J_1.npy"


def supply_missing_joints():
    """Let `numpy.load` answer for the one file that is not in the repository."""
    load = np.load

    def load_or_supply(file, *arguments, **options):
        if file == MISSING and not os.path.exists(MISSING):
            sys.stderr.write("driver: smplx_neu_J_1.npy is not in the checkout; zeros [55, 3] in its place\n")
            return np.zeros((55, 3), np.float32)
        return load(file, *arguments, **options)

    np.load = load_or_supply


def main():
    """Seed everything and run the script as if it had been started itself."""
    seed, arguments = int(sys.argv[1]), sys.argv[2:]
    random.seed(seed)
    np.random.seed(seed)
    try:
        import torch
    except ImportError as error:
        sys.exit(f"driver: this Python has no torch ({error}); it must be MotionCraft's own")
    torch.manual_seed(seed)  # of all devices
    supply_missing_joints()
    script = os.path.join("tools", "s2g_visualize.py")
    sys.argv = [script, *arguments]
    sys.path.insert(0, os.getcwd())
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
