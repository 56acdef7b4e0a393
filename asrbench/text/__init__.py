"""Texts: normal form, scoring profiles, and the tokenizer with its units and subwords."""
