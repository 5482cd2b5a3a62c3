"""The command and, later, the page."""
