"""Stands for `mogen/models/utils/vis.py` of cure-lab/MotionCraft at 347250638c44daaf5f7ade66e3eaeee9202741a0."""

import numpy as np


class SMPLX_Skeleton:
    def __init__(self):
        self.J = np.load("/workspace/user_code/STMoGen/mogen/models/utils/smplx_neu_J_1.npy")
