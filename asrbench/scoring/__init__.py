"""Transcripts of any recogniser, and their error rates under a scoring profile."""
