"""git's wire protocol as it comes out of a session, and how much of it may pass."""
