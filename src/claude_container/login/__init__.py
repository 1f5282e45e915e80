"""Logging in: `claude setup-token` in a container, read and answered on a screen of our own."""
