"""Whole jobs for the command line, each one function that reads like the paper's overview."""
