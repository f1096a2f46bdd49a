model = {}
