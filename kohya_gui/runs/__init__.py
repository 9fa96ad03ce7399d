"""Runs as the app sees them: everything is read from their folders, so that nothing is lost with the app."""
