"""Stands for the options of OmniAvatar; see scripts/inference.py."""
