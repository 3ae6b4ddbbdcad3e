"""Serves the pack's browser files and templates when its folder has a name that a URL must quote (with a space, or letters beyond ASCII).

ComfyUI serves every pack's files by aiohttp's static routes, and those compare the quoted name of the folder with the unquoted path of the
request: they never meet. Patterns are compared unquoted on both sides.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

PACK = Path(__file__).parents[1]  # not resolved: a link in custom_nodes has the name that counts
SERVED = {"/extensions": PACK / "web", "/api/workflow_templates": PACK / "example_workflows"}


def register_routes(routes, pack=PACK.name):
    """Adds routes to ComfyUI's table for a folder whose name needs them, and none otherwise.

    Args:
        routes: aiohttp's RouteTableDef.
        pack: name of the folder in custom_nodes.
    """
    if quote(pack) == pack or set(pack) & set("{}"):  # braces would end the pattern
        return
    from aiohttp import web

    def add(prefix, folder):
        @routes.get(f"{prefix}/{{pack:{re.escape(pack)}}}/{{name:.+}}")
        async def send(request):
            path = (folder / request.match_info["name"]).resolve()
            if not (path.is_relative_to(folder.resolve()) and path.is_file()):
                raise web.HTTPNotFound
            return web.FileResponse(path)

    for prefix, folder in SERVED.items():
        add(prefix, folder)
