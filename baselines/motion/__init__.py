"""SMPL-X motion between the tools that make it and the methods that are driven by it; numpy and scipy alone."""
