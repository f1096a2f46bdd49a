"""Result submissions, the regression gate and the site; see docs/architecture.md for what stands already."""
