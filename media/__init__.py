"""The leaf that everyone shares: errors, files, images, video, sound and landmark detectors."""
