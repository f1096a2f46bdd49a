"""Stands for the package torch: the driver seeds it."""


def manual_seed(seed):
    assert isinstance(seed, int)
