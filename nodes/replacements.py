"""Nodes that had another id once. Workflows that hold the old id open with the new node; ComfyUI does it from 0.13 on.

To rename a node: give it the new id, and add to REPLACEMENTS what ``io.NodeReplace`` takes::

    {"old_node_id": "ContrappostoOld", "new_node_id": "ContrappostoNew", "old_widget_ids": ["seed", "steps"],
     "input_mapping": [{"new_id": "seed", "old_id": "seed"}, {"new_id": "mode", "set_value": "torch"}],
     "output_mapping": [{"new_idx": 0, "old_idx": 0}]}

``old_widget_ids`` names the old node's widgets in their order, because saved workflows hold their values by place.
"""

from __future__ import annotations

REPLACEMENTS: list[dict] = []


async def register_replacements(replacements):
    """Tells ComfyUI about them. An older one, which has no replacements, shows the old id as a missing node."""
    from comfy_api.v0_0_2 import ComfyAPI, io

    for replacement in replacements:
        await ComfyAPI().node_replacement.register(io.NodeReplace(**replacement))
