"""Pose correction after Diffusion-HPC (Weng et al. 2023): a body from a picture, is its pose hard, its depth, its variations."""
