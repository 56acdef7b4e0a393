"""An honest ablation runner: does this attention make this speech recogniser better?"""

__version__ = "0.1.0"
