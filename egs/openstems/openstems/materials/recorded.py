"""Materials of the client git: recorded phrases of singers, electric basses and a guitar."""

from .material import Item, Material

_KARORYFER = "D. Smolken (Karoryfer Lecolds)"


def _karoryfer(name: str, version: str, holds: str, *folders: str, megabytes: float) -> Material:
    """Return a sample library of sfzinstruments whose notes are used."""
    return Material(
        name=f"karoryfer.{name}",
        client="git",
        package=f"https://github.com/sfzinstruments/karoryfer.{name}",
        version=version,
        holds=holds,
        items=tuple(Item(f"{folder}/", "CC0-1.0", _KARORYFER) for folder in folders),
        licence_files=("LICENSE", "readme.txt"),
        megabytes=megabytes,
    )


RECORDED = (
    Material(
        name="producer-space-vocals",
        client="git",
        package="https://github.com/neshanjo/strudel-producer-space-samples",
        version="a117eab0",
        holds="sung phrases, ad-libs and shouts",
        items=tuple(
            Item(f"{folders}/", "CC0-1.0", "Producer Space")
            for folders in ("etv_*", "shv_*", "dvs*")
        ),
        licence_files=("LICENSE.txt",),
        megabytes=300,
    ),
    _karoryfer(
        "growlybass",
        "4f483268",
        "a recorded electric bass, picked",
        "sustain",
        megabytes=130,
    ),
    _karoryfer("swagbass", "9d10fcae", "a recorded electric bass", "notes", megabytes=150),
    _karoryfer("emilyguitar", "b4920dc6", "a recorded electric guitar", "notes", megabytes=100),
)
"""The sizes are estimates."""
