"""Figures and tables of what the other rooms found."""
