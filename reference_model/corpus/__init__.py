"""Synthesised speech, a procedural performer, made people: the data that the first weights learn from."""
