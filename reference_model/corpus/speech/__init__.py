"""Texts and voices: what is said, spoken by espeak-ng out of process, and the lips that the sounds ask for."""
