"""The body template: mean person, shape space, skeleton, facial actions and deformer particles."""
