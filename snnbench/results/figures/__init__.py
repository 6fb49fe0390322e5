"""Figures: what each kind shows, as data, and how it is drawn."""
