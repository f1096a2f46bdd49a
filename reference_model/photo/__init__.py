"""From one photograph to the fitted body template."""
