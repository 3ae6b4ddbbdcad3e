"""Parts2Whole (paper 003): one person from several reference pictures, each of a labelled part, in a given pose.

The story in order: ``parts`` holds what the user gives, ``weights`` reads the released files, ``appearance_encoder`` turns each reference
into features once, ``shared_attention`` and ``image_tokens`` let the denoiser read them, ``pose_guider`` adds the pose, and ``network``
puts them together for diffusers and for training.
"""
