"""Performances: what face, head, arms and hands do while somebody speaks, and the truth about it."""
