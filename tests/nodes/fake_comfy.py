"""A stand-in for the parts of ComfyUI that the nodes use, so that they can be tested where no ComfyUI is installed.

It records what is declared and does nothing else; tests/host runs the same nodes inside the real program.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch

PACK = Path(__file__).absolute().parents[2]


class Declared:
    """An input or output as declared: its id, type and options."""

    io_type = None
    extra_dict: dict = {}

    def __init__(self, id=None, **options):
        self.id, self.options = id, options


class NewerDeclared(Declared):
    """As ComfyUI 0.33 has it."""

    def __init__(self, id=None, advanced=None, **options):
        super().__init__(id, advanced=advanced, **options)


def kind(io_type, declared=Declared):
    """Returns a stand-in for one of ComfyUI's socket types."""
    return SimpleNamespace(
        io_type=io_type,
        Input=type("Input", (declared,), {"io_type": io_type}),
        Output=type("Output", (declared,), {"io_type": io_type}),
    )


class Schema(SimpleNamespace):
    """A node's declaration. Like 0.3.76's, it knows none of the newer options."""

    def __init__(self, node_id, display_name, category, description="", inputs=(), outputs=(), is_output_node=False,
                 hidden=()):
        super().__init__(**{name: value for name, value in locals().items() if name not in ("self", "__class__")})


class NewerSchema(Schema):
    """As ComfyUI 0.33 has it."""

    def __init__(self, *args, search_aliases=None, **options):
        super().__init__(*args, **options)
        self.search_aliases = search_aliases


class NodeOutput:
    def __init__(self, *args, ui=None):
        self.args, self.ui = args, ui


class ModelPatcher:
    def __init__(self, model, load_device, offload_device):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device


class ProgressBar:
    """Keeps the reports of all bars."""

    reports: list = []

    def __init__(self, total):
        self.total = total

    def update_absolute(self, value, total, preview=None):
        self.reports.append((value, total))


def modules(models_dir, newer=False):
    """Returns {module name: stand-in}; ``models_dir`` plays ComfyUI's models folder. ``newer`` knows the options that 0.3.76 lacks."""
    declared = NewerDeclared if newer else Declared
    types = {"Int": "INT", "Float": "FLOAT", "String": "STRING", "Boolean": "BOOLEAN", "Combo": "COMBO"}
    types |= {"Image": "IMAGE", "Mask": "MASK", "Clip": "CLIP", "ClipVision": "CLIP_VISION", "MultiType": "COMFY_MULTITYPED_V3"}
    types |= {"Model": "MODEL", "Vae": "VAE", "Conditioning": "CONDITIONING", "Latent": "LATENT", "ControlNet": "CONTROL_NET"}
    types |= {"Video": "VIDEO"}
    io = SimpleNamespace(
        **{name: kind(io_type, declared) for name, io_type in types.items()},
        Custom=lambda io_type: kind(io_type, declared),
        Schema=NewerSchema if newer else Schema,
        ComfyNode=type("ComfyNode", (), {"hidden": None}),
        Hidden=SimpleNamespace(unique_id="UNIQUE_ID", dynprompt="DYNPROMPT"),
        NodeOutput=NodeOutput,
    )
    cpu = torch.device("cpu")
    folders: dict[str, list[str]] = {}
    management = {
        "get_torch_device": lambda: cpu,
        "intermediate_device": lambda: cpu,
        "unet_offload_device": lambda: cpu,
        "load_models_gpu": lambda patchers: None,
        "throw_exception_if_processing_interrupted": lambda: None,
    }
    contents = {
        "server": {"PromptServer": SimpleNamespace(instance=None)},
        "comfy_api": {},
        "comfy_api.v0_0_2": {
            "io": io,
            "ui": SimpleNamespace(PreviewImage=lambda image, cls=None: SimpleNamespace(image=image)),
            "ComfyExtension": object,
        },
        "comfy": {},
        "comfy.cldm": {},
        "comfy.cldm.cldm": {"ControlNet": type("ControlNet", (), {})},
        "comfy.conds": {name: type(name, (), {}) for name in ("CONDConstant", "CONDNoiseShape")},
        "comfy.lora": {},
        "comfy.model_management": management,
        "comfy.model_patcher": {"ModelPatcher": ModelPatcher},
        "comfy.model_sampling": {},
        "comfy.ops": {"manual_cast": torch.nn},
        "comfy.patcher_extension": {"WrappersMP": SimpleNamespace(OUTER_SAMPLE="outer_sample", DIFFUSION_MODEL="diffusion_model")},
        "comfy.sample": {},
        "comfy.sd": {},
        "comfy.samplers": {"KSampler": SimpleNamespace(SAMPLERS=["euler", "dpmpp_2m"], SCHEDULERS=["normal", "karras"])},
        "comfy.utils": {"ProgressBar": ProgressBar},
        "comfy_execution": {},
        "comfy_execution.graph_utils": {"ExecutionBlocker": lambda message: SimpleNamespace(message=message)},
        "comfyui_version": {"__version__": "0.0.0"},
        "folder_paths": {
            "models_dir": str(models_dir),
            "add_model_folder_path": lambda name, path: folders.setdefault(name, []).append(path),
            "get_folder_paths": lambda name: folders[name],
            "get_input_directory": lambda: str(Path(models_dir).parent / "input"),
            "get_temp_directory": lambda: str(Path(models_dir).parent / "temp"),
            "get_output_directory": lambda: str(Path(models_dir).parent / "output"),
            "get_save_image_path": lambda prefix, folder: (str((Path(folder) / prefix).parent), Path(prefix).name, 1, "", prefix),
        },
    }
    made = {name: ModuleType(name) for name in contents}
    for name, content in contents.items():
        vars(made[name]).update(content)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(made[parent], child, made[name])
    return made


def load_pack(folder):
    """Imports the pack from ``folder`` as ComfyUI's loader does, named by its path; returns its nodes by id."""
    name = str(folder).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, str(Path(folder) / "__init__.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    # in a thread of its own, because a browser's event loop may run in this one
    return ThreadPoolExecutor(1).submit(asyncio.run, _nodes(module)).result()


async def _nodes(module):
    extension = await module.comfy_entrypoint()
    return {node.define_schema().node_id: node for node in await extension.get_node_list()}


def newest_declarations(folder):
    """Returns ({node id: schema}, the list of replaced nodes) as a new ComfyUI sees them; ``folder`` is empty, for links and models."""
    link = Path(folder) / "custom_nodes" / "ComfyUI-Contrapposto"
    link.parent.mkdir()
    link.symlink_to(PACK, target_is_directory=True)
    stand_ins = modules(Path(folder) / "models", newer=True)
    hidden = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        schemas = {node_id: node.define_schema() for node_id, node in load_pack(link).items()}
    finally:
        for name, module in hidden.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return schemas, sys.modules[str(link).replace(".", "_x_") + ".nodes.replacements"].REPLACEMENTS
