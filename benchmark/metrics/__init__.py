"""Metrics as data: `catalogue` lists them, each is a pure function of observations."""
