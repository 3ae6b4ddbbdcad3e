"""A Stable Diffusion of a few thousand weights and a folder of pictures of "people", for tests of the personalization."""

from __future__ import annotations

import torch


def tiny_model(in_channels=4, seed=0):
    """A DiffusersModel with 8 x 8 pixel cells and 32 wide text states; texts become states by their letters."""
    from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel

    from contrapposto.models.headless.diffusers_backend import DiffusersModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(in_channels=in_channels, block_out_channels=(32, 32), layers_per_block=1, cross_attention_dim=32,
                                    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), norm_num_groups=8,
                                    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=4, mid_block_type=None)
        vae = AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4, num_encoder_blocks=(1,) * 4,
                              num_decoder_blocks=(1,) * 4, scaling_factor=0.18215)
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
                              set_alpha_to_one=False, steps_offset=1)
    return DiffusersModel(unet, vae, scheduler, encode_letters)


def encode_letters(texts):
    """(B, 77, 32) states: a fixed random vector per letter."""
    table = torch.randn(128, 32, generator=torch.Generator().manual_seed(7))
    return torch.stack([table[torch.tensor([ord(c) % 128 for c in text.ljust(77)[:77]])] for text in texts])


def write_pictures(folder, count=6, size=96):
    """Coloured discs on coloured grounds, with masks, captions and gray bodies (the last picture has none)."""
    import numpy as np
    from PIL import Image

    generator = torch.Generator().manual_seed(2)
    for place in ("images", "masks", "captions", "gray"):
        (folder / place).mkdir(parents=True)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    for i in range(count):
        centre, radius = torch.rand(2, generator=generator) * 30 + 33, 12 + 8 * float(torch.rand((), generator=generator))
        disc = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2).sqrt() < radius
        ground, person = torch.rand(2, 3, generator=generator)
        image = torch.where(disc[..., None], person, ground)
        gray = torch.cat([torch.full((size, size, 3), 0.5), disc[..., None].float()], -1)
        def save(values, path):
            Image.fromarray((values.numpy() * 255).astype(np.uint8)).save(path)
        save(image, folder / "images" / f"{i}.png")
        save(disc.float(), folder / "masks" / f"{i}.png")
        if i + 1 < count:
            save(gray, folder / "gray" / f"{i}.png")
        (folder / "captions" / f"{i}.txt").write_text(f"disc number {i}")
    return folder


def write_diffusers_folder(folder):
    """A complete tiny Stable Diffusion in diffusers' layout, its CLIP and tokenizer of transformers included."""
    from transformers import CLIPTextConfig, CLIPTextModel

    write_painting_parts(folder)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        vocabulary = write_clip_tokenizer(folder / "tokenizer")
        config = CLIPTextConfig(vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
                                bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1)
        CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    return folder


def write_painting_parts(folder, model=None):
    """UNet, VAE and scheduler of a tiny Stable Diffusion in diffusers' layout; ``model`` None takes ``tiny_model``."""
    from diffusers import AutoencoderKL, DDIMScheduler

    model = model or tiny_model()
    model.unet.save_pretrained(folder / "unet")
    DDIMScheduler.from_config(model.scheduler.config).save_pretrained(folder / "scheduler")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        AutoencoderKL(block_out_channels=(8,) * 4, latent_channels=4, norm_num_groups=4, down_block_types=("DownEncoderBlock2D",) * 4,
                      up_block_types=("UpDecoderBlock2D",) * 4).save_pretrained(folder / "vae")


def write_clip_tokenizer(folder):
    """A tokenizer of single letters; returns the size of its vocabulary."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[])
    tokenizer.save_pretrained(folder)
    return len(words)
