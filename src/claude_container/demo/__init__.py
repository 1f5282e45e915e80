"""The offline demo: a scripted model, its script, and the small repository it repairs."""
