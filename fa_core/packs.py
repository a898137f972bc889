"""What runs have come to, in a few files of limited size: for a machine that is lent for some minutes and keeps nothing.

A pack is a tar archive of records, of parts of records and of checkpoints, cut into volumes, `records.tar.1` onwards.
"""

import io
import re
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fa_core import cluster, files, records
from fa_core.experiments import Experiment

SIZE, MOST = 16 * 2**20, 8  # bytes of a volume, volumes of a pack
BLOCK, END = tarfile.BLOCKSIZE, tarfile.RECORDSIZE
OURS = re.compile(r"(parts/)?[\w.+-]+-[0-9a-f]{12}(\.partial)?\.npz")


def free(folder: Path) -> None:
    """Make this folder for a pack. Raises ValueError where it holds something, or cannot be written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty: name a folder for the pack that is, or that is not there yet")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(f"{folder} cannot be written ({error}): name another folder for the pack") from error


def kept(experiments: Iterable[Experiment]) -> list[Path]:
    """The files of what has been made of experiments: of each its record, else what there is of its parts."""
    found = []
    for experiment in experiments:
        whole = records.path(experiment)
        found += (
            [whole]
            if whole.exists()
            else [f for part in cluster.split(experiment) for f in cluster.part_files(part) if f.exists()]
        )
    return found


def pack(wanted: Iterable[Path], into: Path, size: int = SIZE, most: int = MOST) -> list[Path]:
    """Pack files of the folder of records, the first first, into `most` volumes of `size` bytes in a folder that `free`
    allows; returns those for which there is no room. Raises OSError."""
    free(into)
    room, left_out, archive = size * most - END, [], io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for file in wanted:
            needed = BLOCK + -(-file.stat().st_size // BLOCK) * BLOCK
            if needed > room:
                left_out.append(file)
                continue
            tar.add(file, file.relative_to(records.folder()).as_posix())
            room -= needed
    whole = archive.getvalue()
    for number, start in enumerate(range(0, len(whole), size), 1):
        files.write(into / f"records.tar.{number}", whole[start : start + size])
    return left_out


def unpack(source: Path) -> list[Path]:
    """Put what a pack holds into the folder of records; returns the files. What is there already stays as it is.

    Raises FileNotFoundError where the folder has no pack, ValueError where a volume is missing or damaged, or holds what
    is no part of a pack.
    """
    volumes = sorted(source.glob("records.tar.*"), key=lambda v: int(v.suffix[1:]) if v.suffix[1:].isdigit() else 0)
    if not volumes:
        raise FileNotFoundError(
            f"{source} holds no pack: files records.tar.1 and so on, as `fa_core record --into` writes them"
        )
    numbers = [v.suffix[1:] for v in volumes]
    if numbers != [str(n) for n in range(1, len(volumes) + 1)]:
        raise ValueError(f"{source} has of a pack the volumes {', '.join(numbers)}: copy all of them, from 1 on")
    put = []
    try:
        with tarfile.open(fileobj=io.BytesIO(b"".join(v.read_bytes() for v in volumes))) as tar:
            members = tar.getmembers()
            if strange := [m.name for m in members if not (m.isfile() and OURS.fullmatch(m.name))]:
                raise ValueError(f"{source} holds {', '.join(strange[:3])}, which is no record, part or checkpoint")
            for member in members:
                file = records.folder() / member.name
                if not file.exists():
                    file.parent.mkdir(parents=True, exist_ok=True)
                    content = tar.extractfile(member)
                    files.write(file, content.read() if content else b"")  # it is a file, and has one
                    put.append(file)
    except tarfile.TarError as error:
        raise ValueError(f"{source} holds a pack that is damaged or not whole ({error}): copy its volumes again") from error
    return put
