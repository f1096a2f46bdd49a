"""The stages of `avatar corpus create`, each resumable and cached by content."""
