#!/usr/bin/env bash
# nbclient 0.11.0 with ipykernel 7.4.0: what an asyncio task prints after the cell that made it has ended is in no cell of the
# notebook, not even where a later cell awaits the task. Nothing is logged, and the notebook counts as run in full.
#
# Wanted: the line is kept, in the cell that made the task or in the one that awaits it. Seen: the task's result comes back, and
# its line is lost. The kernel does send it, as of the cell that made the task; the client takes only what is of the cell that it
# is running.
#
# What this does: three cells are run: a coroutine that prints one line; a task made of it; the task awaited. The client that
# runs them also notes each line that the kernel sends. It exits with 0 where what is seen is as said above, and with 1 where it
# has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check nbclient==0.11.0 nbformat==5.11.1 ipykernel==7.4.0
cat > "$folder/seen.py" <<'PYTHON'
import importlib.metadata
import logging
import sys

import nbclient
import nbformat

logging.basicConfig()  # a warning of the client's would be shown
CELLS = [
    "import asyncio\nasync def work():\n    await asyncio.sleep(0.2)\n    print('from the task')\n    return 'its result'",
    "task = asyncio.create_task(work())",
    "print('before'); result = await task; print('after:', result)",
]
started, sent = [], []


class Client(nbclient.NotebookClient):
    """Notes what the kernel sends, and of which cell."""

    async def async_start_new_kernel_client(self):
        client = await super().async_start_new_kernel_client()
        get = client.iopub_channel.get_msg

        async def noted(*arguments, **options):
            message = await get(*arguments, **options)
            of = message["parent_header"].get("msg_id")
            if message["msg_type"] == "execute_input":
                started.append(of)
            if message["msg_type"] == "stream":
                sent.extend((line, 1 + started.index(of)) for line in message["content"]["text"].splitlines())
            return message

        client.iopub_channel.get_msg = noted
        return client


notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
Client(notebook, timeout=120, kernel_name="python3").execute()
kept = [(line, number) for number, cell in enumerate(notebook.cells, start=1)
        for output in cell.outputs for line in output.get("text", "?").splitlines()]
print(f"nbclient {nbclient.__version__}, ipykernel {importlib.metadata.version('ipykernel')}: lines and their cells: "
      f"sent {sent}, kept {kept}")
said = [("before", 3), ("after: its result", 3)]
sys.exit(not (kept == said and sorted(sent) == sorted([*said, ("from the task", 2)])))
PYTHON
export JUPYTER_PATH="$folder/env/share/jupyter" IPYTHONDIR="$folder/ipython" JUPYTER_NO_CONFIG=1
"$folder/env/bin/python" "$folder/seen.py"
