"""What a session changed, in the user's own repository and with their git: no engine in sight."""
