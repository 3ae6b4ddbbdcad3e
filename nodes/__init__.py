"""The ComfyUI side of the pack: sockets in, one library call, sockets out. Start reading at extension.py."""
