"""The commands that work with a user's own networks and studies, one a file."""
