"""Made people: attributes, bodies, skin, hair and clothes."""
