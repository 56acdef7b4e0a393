"""Inspection: what trained models attend to, when they emit what, and gradients by depth."""
