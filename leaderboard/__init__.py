"""Submissions, the regression gate and the site read the files that `benchmark.results` describes."""
