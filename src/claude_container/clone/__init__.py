"""What a new session is made of: the user's branch, uncommitted work, and what goes beside."""
