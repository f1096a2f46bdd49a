"""Personalised reconstruction (section 3.1 of the paper): a photograph to a canonical avatar in one forward pass."""
