"""Damage audio files at random, and read or separate each one.

`python fuzzing.py ORIGINALS FOLDER MODEL FIRST LAST` damages the files with these numbers, each by
the random generator of its number. It prints a line of JSON before each file, with the number, and
one after it, with the outcome. Every tenth file goes through the whole command line, the others
through the reader alone.
"""

import json
import os
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

EXTREMES = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
MEMORY = 6 * 2**30


def cut(data: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    """Return the beginning of a file, or all but a part of it."""
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return bytes(data[:end] if rng.random() < 0.6 else data[:start] + data[end:])


def flip(data: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    """Return a file with some bits flipped, half of the time in its header."""
    limit = min(len(data), rng.choice((128, 1024, len(data), len(data))))
    for _ in range(rng.choice((1, 2, 5, 50))):
        data[rng.randrange(limit)] ^= 1 << rng.randrange(8)
    return bytes(data)


def overwrite(data: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    """Return a file with an extreme number in a field of its header, or with zeros somewhere."""
    if rng.random() < 0.7:
        place, size = rng.randrange(min(len(data), 200)), rng.choice((1, 2, 4))
        value = rng.choice(EXTREMES) & (256**size - 1)
        data[place : place + size] = value.to_bytes(size, rng.choice(("little", "big")))
    else:
        place = rng.randrange(len(data))
        data[place : place + 1000] = bytes(len(data[place : place + 1000]))
    return bytes(data)


def wrap(data: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    """Return a file with something before, after or within it, or spliced to another file."""
    junk = rng.randbytes(rng.choice((1, 10, 5000)))
    other = rng.choice(others)
    return rng.choice(
        (
            junk + data,
            bytes(data) + junk,
            b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + data,
            data[: len(data) // 2] + junk + data[len(data) // 2 :],
            data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :],
            bytes(data) + other,
            junk,
        )
    )


def damage(originals: list[Path], number: int, folder: Path) -> Path:
    """Write the damaged file of a number."""
    rng = random.Random(number)
    path = originals[number % len(originals)]
    data = path.read_bytes()
    others = [original.read_bytes() for original in originals]
    suffix = path.suffix
    ways: list[Callable] = rng.sample([cut, flip, flip, overwrite, overwrite, wrap], 2)
    for way in ways[: rng.choice((0, 1, 1, 1, 2))]:
        data = way(bytearray(data), others, rng) or b"\0"
    if rng.random() < 0.2:
        suffix = rng.choice([original.suffix for original in originals] + [".raw", ".txt", ""])
    target = folder / f"{number}{suffix}"
    target.write_bytes(data)
    return target


def read(path: Path) -> str:
    """Read a file to its end."""
    from asteroid_bsrnn.audio import AudioFile
    from asteroid_bsrnn.cli.terminal import quiet_libraries
    from asteroid_bsrnn.errors import UserError

    try:
        with quiet_libraries():
            for block in AudioFile(path).blocks():
                assert block.shape[1]
    except UserError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error), str(error)
        assert len(str(error)) < 400, str(error)
        return "refused by the reader"
    return "read"


def separate(path: Path, model: str) -> str:
    """Run the whole command on a file."""
    from asteroid_bsrnn import cli
    from asteroid_bsrnn.audio import AudioFile

    output, log = Path(f"{path}.out"), Path(f"{path}.log")
    screen = os.dup(2)
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        code = cli.main(["separate", str(path), "-o", str(output), "--model", model])
        sys.stderr.flush()
    finally:
        os.dup2(screen, 2)
        os.close(screen)
    printed = log.read_text()
    written = sorted(file for file in output.rglob("*") if file.is_file())
    if code == 2:
        assert printed.count("\n") == 1 and printed.startswith("asteroid-bsrnn: error: "), printed
        assert not output.exists(), written
        return "refused by the command"
    assert code == 0, (code, printed)
    assert [file.name for file in written] == ["other.wav", "vocals.wav"], written
    frames = AudioFile(path).read().shape
    for file in written:
        assert AudioFile(file).read().shape == frames
    return "separated"


def main() -> None:
    originals, folder, model = sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2]), sys.argv[3]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    results = sys.stdout
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    for number in range(int(sys.argv[4]), int(sys.argv[5])):
        path = damage(originals, number, folder)
        print(json.dumps([number, path.name]), file=results, flush=True)
        start = time.monotonic()
        try:
            outcome = separate(path, model) if number % 10 == 0 else read(path)
        except BaseException:
            outcome = "fault: " + traceback.format_exc()
        seconds = time.monotonic() - start
        print(json.dumps([number, outcome, round(seconds, 2)]), file=results, flush=True)


if __name__ == "__main__":
    main()
