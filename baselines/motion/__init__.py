"""SMPL-X motion between the tools that make it and the methods that it drives.

numpy and scipy alone, but for `true_pose`, which tracks true videos.
"""
