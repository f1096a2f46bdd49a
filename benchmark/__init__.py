"""The benchmark: manifest, split, protocol, predictions, observations, metrics, results and `bench`.

Stages hand over files and nothing else: `predict` writes videos, `score` writes one row a sample and metric,
`aggregate` writes the table. Nothing here imports a method; methods come by entry point (`registry`).
"""
