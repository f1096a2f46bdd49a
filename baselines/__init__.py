"""Methods behind one contract (`benchmark.contract`): ours, a rival that is driven by a pose, and controls.

The specs stand beside their classes in modules that import nothing heavy, so that listing methods is instant.
"""
