"""Avatars: Gaussians bound to the body template, made from one photograph."""
