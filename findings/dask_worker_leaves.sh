#!/usr/bin/env bash
# distributed 2026.8.0: a task whose function a worker cannot import does not fail. The worker leaves the cluster, for good,
# and the client that waits for the result is told nothing: neither the ModuleNotFoundError, which stands in the worker's log
# alone, nor that no worker is left.
#
# Wanted: the future fails with the error of the import, as it does where the import is in the function's body, and the worker
# stays. Seen: `result` times out after 30 s (and after 100), and the scheduler has no worker any more.
#
# What this does: a scheduler and a worker on the loopback, the scheduler with a module of one function on its path, the worker
# without; that function is submitted. It exits with 0 where what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check distributed==2026.8.0 dask==2026.8.0
mkdir "$folder/modules"
printf 'def double(x):\n    return 2 * x\n' > "$folder/modules/only_here.py"
cat > "$folder/seen.py" <<'PYTHON'
import os
import subprocess
import sys
import time
from pathlib import Path

import distributed

FOLDER = Path(sys.argv[1])
MODULES = str(FOLDER / "modules")


def start(command, *arguments, **environment):
    log = open(FOLDER / f"{command}.log", "w")
    program = f"from distributed.cli.{command} import main; main()"
    return subprocess.Popen([sys.executable, "-c", program, *arguments, "--no-dashboard"], stderr=log,
                            env=os.environ | environment, cwd=FOLDER)


def here():
    import only_here  # in the body: an error like any other

    return only_here.double(3)


if __name__ == "__main__":
    sys.path.insert(0, MODULES)
    import only_here

    file = FOLDER / "scheduler.json"
    running = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file),
                     PYTHONPATH=MODULES)]
    try:
        while not file.exists():
            time.sleep(0.1)
        running.append(start("dask_worker", "--scheduler-file", str(file), "--nthreads", "1"))
        with distributed.Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(1, timeout=120)
            try:
                client.submit(here).result(timeout=60)
                seen = ["no error"]
            except Exception as error:
                seen = [type(error).__name__]
            seen.append(f"{len(client.nthreads())} worker")
            try:
                client.submit(only_here.double, 3).result(timeout=30)
                seen.append("no error")
            except Exception as error:
                seen.append(type(error).__name__)
            seen.append(f"{len(client.nthreads())} workers")
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait()
    log = (FOLDER / "dask_worker.log").read_text()
    seen.append("ModuleNotFoundError in the worker's log" if "ModuleNotFoundError: No module named 'only_here'" in log else "-")
    print(f"distributed {distributed.__version__}: imported in the body: {seen[0]}, then {seen[1]}; "
          f"the function itself: {seen[2]}, then {seen[3]}; {seen[4]}")
    sys.exit(seen != ["ModuleNotFoundError", "1 worker", "TimeoutError", "0 workers",
                      "ModuleNotFoundError in the worker's log"])
PYTHON
"$folder/env/bin/python" "$folder/seen.py" "$folder"
# Seen: distributed 2026.8.0: imported in the body: ModuleNotFoundError, then 1 worker; the function itself: TimeoutError, then
# 0 workers; ModuleNotFoundError in the worker's log
