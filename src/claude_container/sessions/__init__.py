"""The product: what happens between a user's directory, an engine and Claude."""
