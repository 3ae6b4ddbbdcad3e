"""ComfyUI-Contrapposto: the human figure for image generation.

ComfyUI loads this file and asks it two questions: where the browser files are, and which nodes there are. Everything else
happens on demand, so that importing the pack costs nothing.
"""

__version__ = "0.1.0"

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Returns the pack's nodes. ComfyUI is imported only in here, so the library works without it."""
    from .nodes.extension import ContrappostoExtension

    return ContrappostoExtension()
