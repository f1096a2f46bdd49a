"""The pose of a filmed person, frame by frame, on the body that was fitted to one photograph of them."""
