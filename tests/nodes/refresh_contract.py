"""Rewrites tests/nodes/object_info.json, the promise of every node, and locales/*/nodeDefs.json after a wanted change:

python tests/nodes/refresh_contract.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import contract
import fake_comfy
import translations


def main():
    """Writes the files, unless a saved workflow would lose a node or an input."""
    with tempfile.TemporaryDirectory() as folder:
        schemas, replacements = fake_comfy.newest_declarations(folder)
    found = {node_id: contract.of_schema(schema) for node_id, schema in schemas.items()}
    promised = contract.read() if contract.SNAPSHOT.exists() else {}
    if broken := contract.broken_promises(promised, found, {old["old_node_id"] for old in replacements}):
        sys.exit("\n".join(broken))
    print("\n".join(contract.differences(promised, found)) or "nothing changed")
    contract.SNAPSHOT.write_text(contract.dump(found), encoding="utf-8")
    translations.write(schemas)


if __name__ == "__main__":
    main()
